"""Links: the addresses affiliates share, and the slugs that name them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

import rekomi_mcp.storage as storage
from rekomi_mcp.domain import slugs
from rekomi_mcp.domain.access import Role, Scope
from rekomi_mcp.domain.destinations import SLUG_PARAMETER, may_lead_to, with_parameters
from rekomi_mcp.domain.errors import AliasAlreadyTaken, Conflict, SlugAlreadyTaken, SlugReserved
from rekomi_mcp.operation import Context, Input, Operation, Output, Route
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.fields import Id, ListInput, ListOutput, SiteAddress, Slug

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import AffiliateLinkRow, AffiliateRow, ProgramRow

REDIRECTS = "/r/"
"""The server's path under which slugs lead on."""
NO_URL = (
    "These links have no url yet: set REKOMI_PUBLIC_URL to the address visitors reach this server at, restart it and ask "
    "again. queryUrl works once the site has the snippet of get_install_snippet."
)
MAX_LINKS = 50
"""Of one affiliate: all of them are in every answer about the affiliate."""
MAX_SLUGS = 20
"""Of one link, old ones included: they are taken from everybody for ever."""


class LinkOutput(Output):
    id: str
    affiliate_id: str
    slug: str
    custom_alias: str | None = None
    is_default: bool
    format: Literal["Short", "Query", "Path", "Hash"]
    destination_url: str | None = Field(default=None, description="null: the program's websiteUrl.")
    url: str | None = Field(default=None, description="What to share; null while REKOMI_PUBLIC_URL is not set.")
    query_url: str | None = Field(
        default=None, description="The same on the brand's own site, for pages with the tracking snippet."
    )
    created_at: datetime


class OwnedLink(LinkOutput):
    affiliate_name: str


class LinkList(ListOutput[OwnedLink]):
    """One page of links."""

    url_note: str | None = Field(default=None, description="Why the links have no url, and what to set.")


def values_of(context: Context, row: AffiliateLinkRow, program: ProgramRow) -> dict[str, object]:
    """What answers say of a link."""
    public, goal = context.site.public, row.destination_url or program.website_url
    return {
        **row.model_dump(exclude={"organization_id"}),
        "url": f"{public}{REDIRECTS}{row.slug}" if public else None,
        "query_url": with_parameters(goal, [(SLUG_PARAMETER, row.slug)]) if goal and may_lead_to(goal) else None,
    }


def of_affiliates(context: Context, rows: Iterable[AffiliateRow]) -> Mapping[str, list[dict[str, object]]]:
    """The links of these affiliates as answers say them, default first, by the affiliate's id."""
    program_of = {row.id: row.program_id for row in rows}
    session, organization_id = context.session, context.organization_id
    programs = storage.programs.by_ids(session, organization_id, sorted(set(program_of.values())))
    links = storage.links.of_affiliates(session, organization_id, program_of)
    return {
        affiliate_id: [values_of(context, link, programs[program_of[affiliate_id]]) for link in links[affiliate_id]]
        for affiliate_id in links
    }


def add_default_link(context: Context, affiliate: AffiliateRow, alias: str | None) -> None:
    """Give an affiliate the link that every affiliate has once approved.

    Raises:
        SlugReserved: the wanted alias stands for a page.
        AliasAlreadyTaken: the wanted alias is, or was, another link's.
    """
    if alias is not None:
        _refuse_reserved(alias, field="customAlias")
        if storage.links.taken_slugs(context.session, [alias]):
            raise AliasAlreadyTaken("This alias is taken. Choose another, or leave it out.", field="customAlias")
    slug = alias or _free_slug(context, affiliate)
    if _add(context, affiliate, slug, custom_alias=alias, is_default=True) is None:
        raise AliasAlreadyTaken("This link was taken at the same moment. Try again.", field="customAlias")


def _add(
    context: Context,
    affiliate: AffiliateRow,
    slug: str,
    *,
    custom_alias: str | None,
    is_default: bool = False,
    format_: str = "Short",
    destination_url: str | None = None,
) -> AffiliateLinkRow | None:
    """A new link; None when its slug was taken at the same moment."""
    link = storage.tables.AffiliateLinkRow(
        organization_id=context.organization_id,
        affiliate_id=affiliate.id,
        slug=slug,
        custom_alias=custom_alias,
        is_default=is_default,
        format=format_,
        destination_url=destination_url,
        created_at=context.now,
    )
    added = storage.rows.add_unique(context.session, link)
    return link if added and storage.links.claim_slug(context.session, link, slug, context.now) else None


def _refuse_reserved(slug: str, *, field: str) -> None:
    if slug in slugs.RESERVED:
        raise SlugReserved("This word is reserved. Choose another.", field=field)


def _free_slug(context: Context, affiliate: AffiliateRow) -> str:
    """A slug made of the affiliate's name, with something added when that is taken."""
    base = slugs.slugify(affiliate.full_name) or slugs.slugify(affiliate.email.partition("@")[0]) or "affiliate"
    wanted = [base, *(f"{base}-{secrets.token_hex(size)}" for size in (1, 2, 3, 6))]
    taken = storage.links.taken_slugs(context.session, wanted)
    return next(slug for slug in wanted if slug not in taken and slug not in slugs.RESERVED)


def _present(context: Context, row: AffiliateLinkRow, affiliate: AffiliateRow) -> OwnedLink:
    program = lookups.program(context, affiliate.program_id)
    name = affiliate.full_name or affiliate.email
    return OwnedLink.model_validate({**values_of(context, row, program), "affiliate_name": name})


class CreateLinkInput(Input):
    affiliate_id: Id = Field(description="From list_affiliates; must be Approved.")
    slug: Slug | None = Field(default=None, description="Wanted name of the link; made from the affiliate's otherwise.")
    format: Literal["Short", "Query"] = Field(
        default="Short", description="Which address the affiliate prefers: url (Short) or queryUrl (Query)."
    )
    destination_url: SiteAddress | None = Field(
        default=None, description="The page it leads to, when not the program's websiteUrl."
    )


def _create(context: Context, request: CreateLinkInput) -> OwnedLink:
    affiliate = lookups.approved_affiliate(context, request.affiliate_id)
    lookups.require_live_program(context, affiliate, field="affiliateId")
    links = storage.links.of_affiliates(context.session, context.organization_id, [affiliate.id])
    if len(links.get(affiliate.id, ())) >= MAX_LINKS:
        raise Conflict(f"This affiliate has {MAX_LINKS} links, the most there may be. Rename one with rename_link.")
    if request.slug is not None:
        _refuse_unfree(context, request.slug)
    link = _add(
        context,
        affiliate,
        request.slug or _free_slug(context, affiliate),
        custom_alias=request.slug,
        is_default=not links,
        format_=request.format,
        destination_url=request.destination_url,
    )
    if link is None:
        raise SlugAlreadyTaken("This slug was taken at the same moment. Try again.", field="slug")
    answer = _present(context, link, affiliate)
    context.changed("link", link.id, after=answer)
    return answer


def _refuse_unfree(context: Context, slug: str, own_link: str | None = None) -> None:
    _refuse_reserved(slug, field="slug")
    if storage.links.owner_of_slug(context.session, slug) not in (None, own_link):
        raise SlugAlreadyTaken("This slug is, or once was, another link's. Choose another.", field="slug")


class ListLinksInput(ListInput):
    affiliate_id: Id | None = Field(default=None, description="Only this affiliate's.")
    q: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        default=None, description="Part of the slug."
    )


def _list(context: Context, request: ListLinksInput) -> LinkList:
    if request.affiliate_id is not None:
        lookups.affiliate(context, request.affiliate_id)
    session, organization_id = context.session, context.organization_id
    wanted = storage.links.LinkFilter(request.affiliate_id, request.q)
    page = storage.links.page(session, organization_id, wanted, storage.pages.Window(request.take, request.cursor))
    affiliates = storage.affiliates.by_ids(session, organization_id, (row.affiliate_id for row in page.rows))
    program_ids = {affiliate.program_id for affiliate in affiliates.values()}
    programs = storage.programs.by_ids(session, organization_id, sorted(program_ids))

    def item(row: AffiliateLinkRow) -> OwnedLink:
        affiliate = affiliates[row.affiliate_id]
        values = values_of(context, row, programs[affiliate.program_id])
        return OwnedLink.model_validate({**values, "affiliate_name": affiliate.full_name or affiliate.email})

    return LinkList(
        items=[item(row) for row in page.rows],
        next_cursor=page.next_cursor,
        has_more=page.next_cursor is not None,
        total=page.total,
        url_note=NO_URL if page.rows and context.site.public is None else None,
    )


class RenameLinkInput(Input):
    link_id: Id = Field(description="From list_links.")
    slug: Slug = Field(description="The new name.")


def _rename(context: Context, request: RenameLinkInput) -> OwnedLink:
    row = lookups.link(context, request.link_id)
    affiliate = lookups.affiliate(context, row.affiliate_id)
    _refuse_unfree(context, request.slug, own_link=row.id)
    before = _present(context, row, affiliate)
    if not storage.links.claim_slug(context.session, row, request.slug, context.now):
        raise SlugAlreadyTaken("This slug was taken at the same moment. Try again.", field="slug")
    row.slug = row.custom_alias = request.slug
    context.session.flush()
    if storage.links.count_slugs(context.session, row.id) > MAX_SLUGS:
        raise Conflict(
            f"This link has had {MAX_SLUGS} slugs, the most there may be. Give it one of those, or make another."
        )
    answer = _present(context, row, affiliate)
    context.changed("link", row.id, before=before, after=answer)
    return answer


CREATE_LINK = Operation(
    name="create_link",
    title="Create link",
    summary="Give an affiliate another tracking link, with a slug or a destination of its own.",
    usage="Every approved affiliate has one already: see list_links. For another slug of the same link use rename_link.",
    toolset="links",
    input=CreateLinkInput,
    output=OwnedLink,
    handler=_create,
    route=Route("POST", "/api/v1/affiliates/{affiliateId}/links", status=201),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    audit="link.created",
)

LIST_LINKS = Operation(
    name="list_links",
    title="List links",
    summary="List affiliates' tracking links, newest first, with the addresses to share.",
    usage="For the discount codes affiliates share use list_affiliate_codes; for visits use list_clicks.",
    toolset="links",
    input=ListLinksInput,
    output=LinkList,
    handler=_list,
    route=Route("GET", "/api/v1/links"),
    scope=Scope.READ,
)

RENAME_LINK = Operation(
    name="rename_link",
    title="Rename link",
    summary="Give a link another slug; its old ones go on leading to it and nobody else can take them.",
    usage="For a second link beside this one use create_link.",
    toolset="links",
    input=RenameLinkInput,
    output=OwnedLink,
    handler=_rename,
    route=Route("PATCH", "/api/v1/links/{linkId}"),
    scope=Scope.READ_WRITE,
    role=Role.Manager,
    audit="link.renamed",
    idempotent=True,
)
