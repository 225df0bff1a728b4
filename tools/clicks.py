"""Clicks: recorded by the doors visitors come through, and counted for the owner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, SkipValidation

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Gate, Scope
from rekomi_mcp.domain.visits import BOT
from rekomi_mcp.operation import Context, Input, Operation, Output, Route
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.fields import WHOLE, Id, Moment, require_order

if TYPE_CHECKING:
    from rekomi_mcp.storage.clicks import Click

DOUBLE_CLICK = timedelta(seconds=5)
"""Within these a visitor's second click on the same link is the same one."""
HANDED_ON = timedelta(minutes=10)
"""How long a click's id in an address is taken for the visit it was made for: addresses are copied and shared."""
DEFAULT_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Somebody followed a link. Built by the doors of the server from what they have cleaned, never parsed."""

    id: str
    """The click's id, should it be a new click."""
    program_id: str
    affiliate_id: str
    link_id: str
    visitor_id: str
    device: str
    occurred_at: datetime
    claimed_id: str | None = None
    """The click that the address itself says this is."""
    referrer_host: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_term: str | None = None
    utm_content: str | None = None
    sub_id: str | None = None
    country: str | None = None


class RecordClicksInput(Input):
    """Visits of one organization's links."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    visits: Annotated[tuple[Visit, ...], SkipValidation]


class Recorded(Output):
    click_id: str
    visitor_id: str


class RecordClicksOutput(Output):
    clicks: list[Recorded]
    """One a visit, in the same order; an earlier one for a visit that is not new."""


def _record(context: Context, request: RecordClicksInput) -> RecordClicksOutput:
    known = _known(context, request.visits)
    claimed_ids = {visit.claimed_id for visit in request.visits if visit.claimed_id is not None}
    claimed = storage.clicks.by_ids(context.session, context.organization_id, claimed_ids)
    rows: list[dict[str, Any]] = []
    answers: list[Recorded] = []
    for visit in request.visits:
        row = claimed.get(visit.claimed_id or "")
        if row is not None and row.link_id == visit.link_id and visit.occurred_at - row.occurred_at <= HANDED_ON:
            answers.append(Recorded(click_id=row.id, visitor_id=row.visitor_id))
            continue
        key = (visit.visitor_id, visit.link_id)
        last = known.get(key)
        if last is None or visit.occurred_at - last[1] > DOUBLE_CLICK or visit.device == BOT:
            values = asdict(visit)
            del values["claimed_id"]
            rows.append({**values, "organization_id": context.organization_id})
            known[key] = last = (visit.id, visit.occurred_at)
        answers.append(Recorded(click_id=last[0], visitor_id=visit.visitor_id))
    storage.clicks.add(context.session, rows)
    return RecordClicksOutput(clicks=answers)


def _known(context: Context, visits: Iterable[Visit]) -> dict[tuple[str, str], tuple[str, datetime]]:
    """The last click of each of these visitors on each link, while it is young enough to be the same."""
    visitors = {visit.visitor_id for visit in visits}
    since = min((visit.occurred_at for visit in visits), default=context.now) - DOUBLE_CLICK
    found = storage.clicks.of_visitors(context.session, context.organization_id, visitors, since)
    last: dict[tuple[str, str], Click] = {(r.visitor_id, r.link_id): r for rows in found.values() for r in rows}
    return {key: (row.id, row.occurred_at) for key, row in last.items()}


class ListClicksInput(Input):
    group_by: Literal[
        "affiliate", "link", "referrer", "device", "country", "utmSource", "utmMedium", "utmCampaign", "subId"
    ] = Field(default="affiliate", description="What to count by.")
    affiliate_id: Id | None = Field(default=None, description="Only this affiliate's.")
    program_id: Id | None = Field(default=None, description="Only this program's.")
    since: Moment | None = Field(default=None, description="30 days before until when left out.")
    until: Moment | None = Field(default=None, description="Not included; now when left out.")
    take: Annotated[int, Field(ge=1, le=200), WHOLE] = Field(default=50, description="How many groups at most.")


class ClickCount(Output):
    key: str | None = Field(default=None, description="An id, or what the visit said; null: it said nothing.")
    name: str | None = Field(default=None, description="The affiliate's name or the link's slug.")
    clicks: int
    visitors: int


class ClickSummary(Output):
    since: datetime
    until: datetime
    clicks: int = Field(description="All in the period, without those of bots.")
    visitors: int
    items: list[ClickCount] = Field(description="Most clicks first.")
    has_more: bool = Field(description="Whether smaller groups were left out.")


def _list(context: Context, request: ListClicksInput) -> ClickSummary:
    until = request.until or context.now
    since = request.since or until - timedelta(days=DEFAULT_DAYS)
    require_order(since, until)
    if request.affiliate_id is not None:
        lookups.affiliate(context, request.affiliate_id)
    if request.program_id is not None:
        lookups.program(context, request.program_id)
    wanted = storage.clicks.ClickFilter(since, until, request.affiliate_id, request.program_id)
    session, organization_id = context.session, context.organization_id
    [total] = storage.clicks.counts(session, organization_id, wanted, None, 1)
    groups = storage.clicks.counts(session, organization_id, wanted, request.group_by, request.take + 1)
    shown = groups[: request.take]
    names = _names(context, request.group_by, [group.key for group in shown if group.key is not None])
    return ClickSummary(
        since=since,
        until=until,
        clicks=total.clicks,
        visitors=total.visitors,
        items=[ClickCount(key=g.key, name=names.get(g.key or ""), clicks=g.clicks, visitors=g.visitors) for g in shown],
        has_more=len(groups) > len(shown),
    )


def _names(context: Context, group_by: str, keys: list[str]) -> dict[str, str]:
    match group_by:
        case "affiliate":
            return storage.affiliates.names(context.session, context.organization_id, keys)
        case "link":
            return storage.links.slugs_of(context.session, context.organization_id, keys)
        case _:
            return {}


RECORD_CLICKS = Operation(
    name="record_clicks",
    title="Record clicks",
    summary="Keep visits that affiliates' links brought.",
    usage="The redirects and the tracking script run it; nothing exposes it.",
    toolset="internal",
    input=RecordClicksInput,
    output=RecordClicksOutput,
    handler=_record,
    route=None,
    scope=Scope.READ_WRITE,
    gate=Gate(survives_lapse=True),
    audit="clicks.recorded",
    stream=True,
)

LIST_CLICKS = Operation(
    name="list_clicks",
    title="List clicks",
    summary="Count the visits that affiliates' links brought in a period, by affiliate, link, source, device or country.",
    usage="For what visits led to use list_conversions; for the links themselves list_links.",
    toolset="links",
    input=ListClicksInput,
    output=ClickSummary,
    handler=_list,
    route=Route("GET", "/api/v1/clicks"),
    scope=Scope.READ,
)
