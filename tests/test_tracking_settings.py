"""The snippet to paste, the brand's own query parameters, and counting clicks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.attribution_params import DEFAULTS, effective, kept, parse
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.settings import Settings
from rekomi_mcp.storage.ids import new_id
from rekomi_mcp.storage.tables import AuditLineRow
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.tools.clicks import RecordClicksInput, Visit
from tests.support.stage import all_rows
from tests.support.world import Brand, World, operate

pytestmark = pytest.mark.anyio


async def ask(app: App, world: World, name: str, /, **arguments: Any) -> dict[str, Any]:
    return await operate(app, name, arguments, System(world.acme.id))


async def refusal(app: App, world: World, name: str, /, **arguments: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        await ask(app, world, name, **arguments)
    return refused.value


async def test_the_snippet_is_of_the_newest_active_program(app: App, world: World, settings: Settings) -> None:
    newest = await ask(
        app, world, "create_program", name="Club", defaultCommissionType="Percentage", defaultCommissionValue=5
    )
    answer = await ask(app, world, "get_install_snippet")
    assert (answer["programId"], answer["programSlug"]) == (newest["id"], "club")
    assert answer["snippet"] == (
        "<!-- Rekomi tracking -->\n"
        f'<script async src="http://127.0.0.1:8321/api/v1/r/loader.js?program={newest["id"]}" '
        f'data-program-id="{newest["id"]}"></script>\n'
        "<noscript>\n"
        '  <img src="http://127.0.0.1:8321/api/v1/r/c.gif" width="1" height="1" alt="" />\n'
        "</noscript>"
    )
    assert "REKOMI_PUBLIC_URL" in answer["note"]
    assert "client_reference_id" in answer["clientReferenceHint"]
    await ask(app, world, "update_program", programId=newest["id"], isActive=False)
    assert (await ask(app, world, "get_install_snippet"))["programId"] == world.acme.program
    known = App(settings.model_copy(update={"public_url": "https://go.example"}))
    known.__dict__["_store"] = app.open_store()
    public = await ask(known, world, "get_install_snippet", programId=newest["id"])
    assert 'src="https://go.example/api/v1/r/loader.js?program=' in public["snippet"]
    assert public["note"] is None


async def test_a_snippet_of_no_program_is_refused(app: App, world: World) -> None:
    for wanted in ("nonsense", world.neighbour.program):
        refused = await refusal(app, world, "get_install_snippet", programId=wanted)
        assert (refused.status, refused.code, refused.field) == (404, "no_program_found", "programId")
    await ask(app, world, "archive_program", programId=world.acme.program)
    assert (await refusal(app, world, "get_install_snippet")).code == "no_program_found"


async def test_own_parameters_go_before_the_usual_ones(app: App, world: World) -> None:
    assert (await ask(app, world, "get_attribution_params"))["custom"] is None
    changed = await ask(app, world, "set_attribution_params", custom=" my_aff , ref,my_aff,, brand-ref")
    assert changed["custom"] == "my_aff,ref,brand-ref"
    assert changed["effectiveOrder"][:4] == ["my_aff", "ref", "brand-ref", "via"]
    assert len(changed["effectiveOrder"]) == len(DEFAULTS) + 2
    assert changed == await ask(app, world, "get_attribution_params")
    snippet = await ask(app, world, "get_install_snippet")
    assert snippet["hasCustomAttributionParams"] is True
    assert snippet["customAttributionParams"] == "my_aff,ref,brand-ref"
    assert ' data-rkmi-params="my_aff,ref,brand-ref">' in snippet["snippet"]
    for nothing in ("", None, " , "):
        assert (await ask(app, world, "set_attribution_params", custom=nothing))["effectiveOrder"] == list(DEFAULTS)


async def test_a_change_of_parameters_is_audited_with_both_lists(app: App, world: World) -> None:
    await ask(app, world, "set_attribution_params", custom="my_aff")
    await ask(app, world, "set_attribution_params", custom="other")
    lines = [
        row for row in all_rows(app.settings.store_url, AuditLineRow) if row.action == "org.attribution_params_changed"
    ]
    assert [(row.before, row.after) for row in sorted(lines, key=lambda row: row.seq)] == [
        ("{}", '{"custom":"my_aff"}'),
        ('{"custom":"my_aff"}', '{"custom":"other"}'),
    ]


@pytest.mark.parametrize(
    ("custom", "code", "invalid"),
    [
        (",".join(f"param_{number}" for number in range(11)), "too_many_attribution_params", None),
        ("x" * 257, "attribution_params_too_long", None),
        ("ok,No,x,a b,ünique," + "y" * 33, "invalid_attribution_param", ["No", "x", "a b", "ünique", "y" * 33]),
        ('ok,"><script>', "invalid_attribution_param", ['"><script>']),
    ],
)
async def test_a_list_that_cannot_be_is_refused(
    app: App, world: World, custom: str, code: str, invalid: list[str] | None
) -> None:
    refused = await refusal(app, world, "set_attribution_params", custom=custom)
    assert (refused.status, refused.code, refused.field) == (400, code, "custom")
    assert refused.details.get("invalid") == invalid


def test_what_is_stored_is_checked_again_before_it_is_shown() -> None:
    assert kept('my_aff,"><script>,x') == ["my_aff"]
    assert kept(None) == []
    assert parse("") == []
    assert effective([]) == list(DEFAULTS)


def visit(brand: Brand, visitor: str, app: App, minutes_ago: float = 0, **more: Any) -> Visit:
    return Visit(
        id=new_id(),
        program_id=brand.program,
        affiliate_id=more.pop("affiliate_id", brand.affiliate),
        link_id=brand.link,
        visitor_id=visitor,
        device=more.pop("device", "Mobile"),
        occurred_at=app.clock() - timedelta(minutes=minutes_ago),
        **more,
    )


async def record(app: App, brand: Brand, *visits: Visit) -> list[dict[str, str]]:
    request = RecordClicksInput.model_construct(visits=visits)
    return (await operate(app, "record_clicks", request, System(brand.id)))["clicks"]


async def test_clicks_are_counted_by_what_they_have_in_common(app: App, world: World) -> None:
    acme = world.acme
    await record(
        app,
        acme,
        visit(acme, "v1", app, 5, utm_source="yt", country="DE", referrer_host="www.youtube.com"),
        visit(acme, "v1", app, 3, utm_source="yt"),
        visit(acme, "v2", app, 2, device="Desktop"),
        visit(acme, "bot", app, 1, device="Bot"),
        visit(acme, "v3", app, 60 * 24 * 40),
    )
    await record(app, world.neighbour, visit(world.neighbour, "v9", app))
    whole = await ask(app, world, "list_clicks")
    assert (whole["clicks"], whole["visitors"], whole["hasMore"]) == (3, 2, False)
    assert whole["items"] == [{"key": acme.affiliate, "name": "Sarah Lee", "clicks": 3, "visitors": 2}]

    async def by(name: str, **more: Any) -> list[tuple[str | None, int]]:
        return [(i["key"], i["clicks"]) for i in (await ask(app, world, "list_clicks", groupBy=name, **more))["items"]]

    assert await by("utmSource") == [("yt", 2), (None, 1)]
    assert await by("device") == [("Mobile", 2), ("Desktop", 1)]
    assert await by("country") == [(None, 2), ("DE", 1)]
    assert await by("device", since=(app.clock() - timedelta(days=41)).isoformat()) == [("Mobile", 3), ("Desktop", 1)]
    assert await by("device", affiliateId=acme.affiliate, programId=acme.program, take=1) == [("Mobile", 2)]
    assert (await ask(app, world, "list_clicks", groupBy="link"))["items"][0]["name"] == "sarah-lee"
    assert (await ask(app, world, "list_clicks", groupBy="device", take=1))["hasMore"] is True
    assert (await refusal(app, world, "list_clicks", since="2026-03-02", until="2026-03-01")).field == "since"


async def test_the_same_visit_twice_in_one_batch_or_in_two_is_one_click(app: App, world: World) -> None:
    acme = world.acme
    first, second = visit(acme, "v1", app), visit(acme, "v1", app)
    answers = await record(app, acme, first, second, visit(acme, "v2", app))
    assert [answer["clickId"] for answer in answers[:2]] == [first.id, first.id]
    [again] = await record(app, acme, visit(acme, "v1", app))
    assert again == {"clickId": first.id, "visitorId": "v1"}
    [claimed] = await record(app, acme, visit(acme, "v3", app, claimed_id=first.id))
    assert claimed == {"clickId": first.id, "visitorId": "v1"}
    assert (await ask(app, world, "list_clicks"))["clicks"] == 2
    assert await record(app, acme) == []


def test_what_visitors_do_is_open_to_no_caller() -> None:
    own = {operation.name for operation in CATALOGUE if operation.stream or operation.name == "record_signup"}
    assert own == {"record_clicks", "record_signup"}
    assert not own & {operation.name for operation in CATALOGUE.exposed()}
