"""Links: what they are called, who may have which slug, and the addresses that answers hold."""

from __future__ import annotations

from typing import Any

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.settings import Settings
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio


async def ask(app: App, world: World, name: str, /, **arguments: Any) -> dict[str, Any]:
    return await operate(app, name, arguments, System(world.acme.id))


async def refusal(app: App, world: World, name: str, /, **arguments: Any) -> tuple[str, str | None]:
    with pytest.raises(Refusal) as refused:
        await ask(app, world, name, **arguments)
    return refused.value.code, refused.value.field


async def test_every_approved_affiliate_has_a_link_named_after_them(app: App, world: World) -> None:
    [link] = (await ask(app, world, "get_affiliate", affiliateId=world.acme.affiliate))["links"]
    assert (link["slug"], link["isDefault"], link["format"]) == ("sarah-lee", True, "Short")
    approved = await ask(app, world, "approve_affiliate", affiliateId=world.acme.applicant)
    assert [link["slug"] for link in approved["links"]] != []


async def test_a_wanted_alias_is_the_slug_of_the_default_link(app: App, world: World) -> None:
    made = await ask(app, world, "create_affiliate", email="kim@example.com", customAlias="kim-loves-this")
    assert [(link["slug"], link["customAlias"]) for link in made["links"]] == [("kim-loves-this", "kim-loves-this")]
    again = await refusal(app, world, "create_affiliate", email="kim2@example.com", customAlias="kim-loves-this")
    assert again == ("alias_already_taken", "customAlias")


async def test_a_second_link_stands_beside_the_first(app: App, world: World) -> None:
    made = await ask(
        app,
        world,
        "create_link",
        affiliateId=world.acme.affiliate,
        slug="sarah-spring",
        format="Query",
        destinationUrl="https://shop.example/spring",
    )
    assert (made["slug"], made["isDefault"], made["format"]) == ("sarah-spring", False, "Query")
    assert made["affiliateName"] == "Sarah Lee"
    listed = await ask(app, world, "list_links", affiliateId=world.acme.affiliate)
    assert [link["slug"] for link in listed["items"]] == ["sarah-spring", "sarah-lee"]
    assert [link["slug"] for link in (await ask(app, world, "list_links", q="SPRING"))["items"]] == ["sarah-spring"]


async def test_a_link_without_a_wanted_slug_gets_one_of_the_affiliates_name(app: App, world: World) -> None:
    made = await ask(app, world, "create_link", affiliateId=world.acme.affiliate)
    assert made["slug"].startswith("sarah-lee-")
    assert made["customAlias"] is None


async def test_only_approved_affiliates_get_links(app: App, world: World) -> None:
    refused = await refusal(app, world, "create_link", affiliateId=world.acme.applicant)
    assert refused == ("affiliate_not_approved", "affiliateId")


async def test_an_archived_program_takes_no_links_and_no_leads_and_has_no_snippet(app: App, world: World) -> None:
    await ask(app, world, "archive_program", programId=world.acme.program)
    affiliate = {"affiliateId": world.acme.affiliate}
    over = ("program_archived", "affiliateId")
    assert await refusal(app, world, "create_link", **affiliate) == over
    assert await refusal(app, world, "record_lead", email="kim@example.com", **affiliate) == over
    snippet = await refusal(app, world, "get_install_snippet", programId=world.acme.program)
    assert snippet == ("no_program_found", "programId")


@pytest.mark.parametrize(
    ("slug", "code"),
    [
        ("admin", "slug_reserved"),
        ("Sarah", "validation_failed"),
        ("-sarah", "validation_failed"),
        ("sa", "validation_failed"),
        ("s" * 65, "validation_failed"),
        ("sarah/../admin", "validation_failed"),
    ],
)
async def test_a_slug_that_cannot_be_had_is_refused(app: App, world: World, slug: str, code: str) -> None:
    for name, named in (
        ("create_link", {"affiliateId": world.acme.affiliate}),
        ("rename_link", {"linkId": world.acme.link}),
    ):
        assert await refusal(app, world, name, **named, slug=slug) == (code, "slug")


async def test_a_slug_of_anybody_in_the_deployment_is_taken(app: App, world: World) -> None:
    taken = world.neighbour.slug_of_link
    for name, named in (
        ("create_link", {"affiliateId": world.acme.affiliate}),
        ("rename_link", {"linkId": world.acme.link}),
    ):
        assert await refusal(app, world, name, **named, slug=taken) == ("slug_already_taken", "slug")


async def test_a_renamed_link_keeps_its_old_slug_to_itself(app: App, world: World) -> None:
    renamed = await ask(app, world, "rename_link", linkId=world.acme.link, slug="sarah-2")
    assert (renamed["slug"], renamed["customAlias"]) == ("sarah-2", "sarah-2")
    refused = await refusal(app, world, "create_link", affiliateId=world.acme.affiliate, slug="sarah-lee")
    assert refused == ("slug_already_taken", "slug")
    lead = await ask(app, world, "record_lead", affiliateSlug="sarah-lee", email="new@example.com")
    assert lead["affiliateId"] == world.acme.affiliate
    back = await ask(app, world, "rename_link", linkId=world.acme.link, slug="sarah-lee")
    assert back["slug"] == "sarah-lee"
    assert await refusal(app, world, "create_link", affiliateId=world.acme.affiliate, slug="sarah-2") == refused


async def test_a_link_may_not_take_every_word_there_is(app: App, world: World) -> None:
    for number in range(2, 21):
        await ask(app, world, "rename_link", linkId=world.acme.link, slug=f"sarah-{number}")
    assert await refusal(app, world, "rename_link", linkId=world.acme.link, slug="sarah-21") == ("conflict", None)
    assert (await ask(app, world, "rename_link", linkId=world.acme.link, slug="sarah-2"))["slug"] == "sarah-2"
    assert (await ask(app, world, "create_link", affiliateId=world.acme.affiliate, slug="sarah-21"))[
        "slug"
    ] == "sarah-21"


async def test_an_affiliate_has_only_so_many_links(app: App, world: World) -> None:
    for number in range(49):
        await ask(app, world, "create_link", affiliateId=world.acme.affiliate, slug=f"sarah-{number}")
    assert (await refusal(app, world, "create_link", affiliateId=world.acme.affiliate))[0] == "conflict"


@pytest.mark.parametrize(
    "address",
    [
        "http://shop.example",
        "https://name@shop.example",
        "https://shop.example\\@evil.example",
        "javascript:alert(1)",
        "//shop.example",
        "https://",
        "http://localhost.evil.example",
    ],
)
async def test_a_link_leads_only_to_plain_https_addresses(app: App, world: World, address: str) -> None:
    refused = await refusal(app, world, "create_link", affiliateId=world.acme.affiliate, destinationUrl=address)
    assert refused == ("validation_failed", "destinationUrl")
    refused = await refusal(app, world, "update_program", programId=world.acme.program, websiteUrl=address)
    assert refused == ("validation_failed", "websiteUrl")


async def test_answers_hold_the_addresses_to_share(app: App, world: World, settings: Settings) -> None:
    local = await ask(app, world, "list_links")
    [link] = local["items"]
    assert (link["url"], link["queryUrl"]) == (None, None)
    assert "set REKOMI_PUBLIC_URL" in local["urlNote"]
    await ask(app, world, "update_program", programId=world.acme.program, websiteUrl="https://shop.example/?a=1#top")
    known = App(settings.model_copy(update={"public_url": "https://go.example"}))
    known.__dict__["_store"] = app.open_store()
    public = await ask(known, world, "list_links")
    [link] = public["items"]
    assert public["urlNote"] is None
    assert link["url"] == "https://go.example/r/sarah-lee"
    assert link["queryUrl"] == "https://shop.example/?a=1&via=sarah-lee#top"
    [same] = (await ask(known, world, "get_affiliate", affiliateId=world.acme.affiliate))["links"]
    assert (same["url"], same["queryUrl"]) == (link["url"], link["queryUrl"])
