"""What brands' pages ask for: open to every page, and silent about who is known here."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import httpx
import pytest

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.attribution_params import DEFAULTS as USUAL
from rekomi_mcp.storage.tables import ClickRow, LeadRow
from rekomi_mcp.transports.brand_pages import (
    CLICK,
    DEFAULTS,
    FOR_PAGES,
    LOADER,
    MAX_BODY_BYTES,
    PIXEL,
    SIGNUP,
    is_for_pages,
)
from tests.support.contents import audit_lines
from tests.support.stage import all_rows
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio

PAGE = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0 Safari/537.36",
    "origin": "https://shop.example",
    "content-type": "text/plain;charset=UTF-8",
}


async def post(client: httpx.AsyncClient, path: str, /, **body: Any) -> httpx.Response:
    return await client.post(path, content=json.dumps(body), headers=PAGE)


def clicks(app: App) -> list[ClickRow]:
    return sorted(all_rows(app.settings.store_url, ClickRow), key=lambda row: row.id)


def browser_leads(app: App) -> list[LeadRow]:
    return [row for row in all_rows(app.settings.store_url, LeadRow) if row.source == "Browser"]


async def test_a_click_on_the_brands_own_address_is_recorded(app: App, client: httpx.AsyncClient, world: World) -> None:
    answer = await post(
        client,
        CLICK,
        slugs=["unknown", "Sarah-Lee"],
        programId=world.acme.program,
        referrer="www.youtube.com",
        utm_source="yt",
        sub_id="video 7",
    )
    [click] = clicks(app)
    assert answer.status_code == 200
    assert answer.json() == {
        "clickId": click.id,
        "visitorId": click.visitor_id,
        "slug": "sarah-lee",
        "cookieWindowDays": 60,
        "attributionModel": "LastTouch",
    }
    assert (click.affiliate_id, click.device) == (world.acme.affiliate, "Desktop")
    assert (click.referrer_host, click.utm_source, click.sub_id) == ("www.youtube.com", "yt", "video 7")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert not {"set-cookie", "access-control-allow-credentials"} & set(answer.headers)


async def test_a_visitor_who_is_known_keeps_the_id(app: App, client: httpx.AsyncClient) -> None:
    await post(client, CLICK, slug="sarah-lee", visitorId="0123456789abcdef")
    assert [click.visitor_id for click in clicks(app)] == ["0123456789abcdef"]


async def test_the_click_of_the_redirect_is_not_counted_again(app: App, client: httpx.AsyncClient) -> None:
    first = (await post(client, CLICK, slug="sarah-lee")).json()
    same = (await post(client, CLICK, slug="sarah-lee", clickId=first["clickId"], visitorId="0123456789abcdef")).json()
    assert (same, len(clicks(app))) == (first, 1)


async def test_a_click_in_an_address_that_was_shared_is_another_visit(app: App, client: httpx.AsyncClient) -> None:
    first = (await post(client, CLICK, slug="sarah-lee")).json()
    with app.open_store().writing() as session:
        session.get_one(ClickRow, first["clickId"]).occurred_at -= timedelta(minutes=11)
    other = (await post(client, CLICK, slug="sarah-lee", clickId=first["clickId"])).json()
    assert other["clickId"] != first["clickId"]
    assert other["visitorId"] != first["visitorId"]


async def test_a_click_of_another_link_is_not_taken_for_this_visit(
    app: App, client: httpx.AsyncClient, world: World
) -> None:
    theirs = (await post(client, CLICK, slug=world.neighbour.slug_of_link)).json()
    mine = (await post(client, CLICK, slug="sarah-lee", clickId=theirs["clickId"])).json()
    assert mine["clickId"] != theirs["clickId"]
    assert len(clicks(app)) == 2


NOTHING_COMES_OF = [
    b"",
    b"not JSON",
    b"[]",
    b'{"slugs": []}',
    b'{"slugs": "sarah-lee"}',
    b'{"slugs": [1, null, {}]}',
    b'{"slug": null}',
    b'{"slug": "nobody"}',
    b'{"slug": "sarah\\u0000-lee"}',
    b'{"slug": "\\ud800"}',
    b'{"slug": "sarah-lee", "programId": "nonsense"}',
    b'{"slug": "sarah-lee", "slug": "sarah-lee"}',
    b'{"slug": "sarah-lee", "pad": "' + b"x" * MAX_BODY_BYTES + b'"}',
]


@pytest.mark.parametrize("body", NOTHING_COMES_OF)
async def test_whatever_is_no_click_is_answered_with_nothing(app: App, client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(CLICK, content=body, headers=PAGE)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert clicks(app) == []


async def test_another_brands_affiliate_is_nobody_on_this_brands_page(
    app: App, client: httpx.AsyncClient, world: World
) -> None:
    answer = await post(client, CLICK, slug=world.neighbour.slug_of_link, programId=world.acme.program)
    assert (answer.status_code, clicks(app)) == (204, [])


@pytest.mark.parametrize("odd", [7, {"a": 1}, ["x"], "x" * 100_0, "\ud800", "a\x00b", None, True])
async def test_what_a_page_says_beside_the_slug_never_stands_in_the_way(
    app: App, client: httpx.AsyncClient, odd: Any
) -> None:
    names = ("visitorId", "clickId", "referrer", "utm_source", "utm_term", "sub_id")
    answer = await post(client, CLICK, slug="sarah-lee", **dict.fromkeys(names, odd))
    assert answer.status_code == 200
    assert len(clicks(app)) == 1


async def test_a_signup_is_a_lead_of_the_slugs_affiliate(app: App, client: httpx.AsyncClient, world: World) -> None:
    before = audit_lines(app)
    click = (await post(client, CLICK, slug="sarah-lee")).json()
    wanted = {"slug": "sarah-lee", "clickId": click["clickId"], "programId": world.acme.program}
    answer = await post(client, SIGNUP, **wanted, email="Kim@Example.com", name="Kim\n Doe")
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    again = await post(client, SIGNUP, slug="sarah-lee", email="kim@example.com")
    assert (again.json(), answer.headers["access-control-allow-origin"]) == ({"ok": True}, "*")
    listed = await operate(app, "list_leads", {"email": "kim@example.com"}, System(world.acme.id))
    [lead] = listed["items"]
    assert (lead["affiliateName"], lead["source"], lead["name"]) == ("Sarah Lee", "Browser", "Kim Doe")
    assert Counter(audit_lines(app)) - Counter(before) == {(world.acme.id, "lead.recorded", "ok"): 1}


SIGNUPS_OF_NOBODY: list[dict[str, Any]] = [
    {},
    {"slug": "sarah-lee"},
    {"slug": "sarah-lee", "email": "nonsense"},
    {"slug": "sarah-lee", "email": ["a@example.com"]},
    {"slug": "sarah-lee", "email": "a@example.com", "name": "x" * 5000},
    {"slug": "sarah-lee", "email": "a\ud800@example.com"},
    {"slug": "sarah-lee", "email": "a\x00@example.com"},
    {"slug": "nobody", "email": "a@example.com"},
    {"slugs": ["sarah-lee", "nobody"], "email": "a@example.com"},
    {"slug": "sarah-lee", "email": "a@example.com", "programId": "nonsense"},
]


@pytest.mark.parametrize("body", SIGNUPS_OF_NOBODY)
async def test_the_answer_to_a_signup_never_says_whether_it_counted(
    app: App, client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    before = audit_lines(app)
    answer = await post(client, SIGNUP, **body)
    assert (answer.status_code, answer.content) == (200, b'{"ok":true}')
    assert (browser_leads(app), audit_lines(app)) == ([], before)


async def test_a_signup_counts_only_for_affiliates_who_may_earn(
    app: App, client: httpx.AsyncClient, world: World
) -> None:
    wanted = {"affiliateId": world.acme.affiliate, "status": "Paused"}
    await operate(app, "update_affiliate", wanted, System(world.acme.id))
    await post(client, SIGNUP, slug="sarah-lee", email="kim@example.com")
    assert browser_leads(app) == []


async def test_a_signup_does_not_count_for_a_program_that_is_over(
    app: App, client: httpx.AsyncClient, world: World
) -> None:
    await operate(app, "archive_program", {"programId": world.acme.program}, System(world.acme.id))
    assert (await post(client, SIGNUP, slug="sarah-lee", email="kim@example.com")).json() == {"ok": True}
    assert browser_leads(app) == []


async def test_a_signup_whose_click_was_of_another_link_does_not_count(
    app: App, client: httpx.AsyncClient, world: World
) -> None:
    await operate(app, "create_link", {"affiliateId": world.acme.affiliate, "slug": "sarah-b"}, System(world.acme.id))
    click = (await post(client, CLICK, slug="sarah-b")).json()["clickId"]
    await post(client, SIGNUP, slug="sarah-lee", clickId=click, email="kim@example.com")
    assert browser_leads(app) == []
    await post(client, SIGNUP, slug="sarah-b", clickId=click, email="kim@example.com")
    assert len(browser_leads(app)) == 1


@pytest.mark.parametrize("settings", [{"visits_per_minute": 2}], indirect=True)
async def test_an_address_that_asks_too_often_is_answered_alike_and_not_heard(
    app: App, client: httpx.AsyncClient
) -> None:
    for number in range(4):
        clicked = await post(client, CLICK, slug="sarah-lee")
        assert clicked.status_code == (200 if number < 2 else 204)
        signed = await post(client, SIGNUP, slug="sarah-lee", email=f"kim{number}@example.com")
        assert signed.json() == {"ok": True}
    assert (len(clicks(app)), len(browser_leads(app))) == (2, 2)


async def test_the_script_knows_the_usual_parameters_and_may_be_kept_for_an_hour(client: httpx.AsyncClient) -> None:
    answer = await client.get(LOADER, headers=PAGE)
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert f"var USUAL_PARAMS = {json.dumps(USUAL)};" in answer.text
    assert "var OWN_PARAMS = [];" in answer.text
    assert len(answer.content) < 9_000


async def test_the_script_knows_the_own_parameters_of_the_programs_brand(
    app: App, client: httpx.AsyncClient, world: World
) -> None:
    await operate(app, "set_attribution_params", {"custom": "my_aff,brand_ref"}, System(world.acme.id))
    own = (await client.get(LOADER, params={"program": world.acme.program})).text
    assert 'var OWN_PARAMS = ["my_aff", "brand_ref"];' in own
    plain = (await client.get(LOADER)).text
    for other in (world.neighbour.program, "nonsense", "x" * 1000, "\x00", ""):
        assert (await client.get(LOADER, params={"program": other})).text == plain


async def test_pages_without_scripts_get_a_picture_of_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.get(PIXEL, headers=PAGE)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
    assert answer.content.startswith(b"GIF89a\x01\x00\x01\x00")
    assert len(answer.content) < 50


async def test_the_usual_parameters_are_told_to_everybody(client: httpx.AsyncClient) -> None:
    answer = await client.get(DEFAULTS, headers=PAGE)
    assert answer.json() == {
        "defaults": "via ref fpr aff rfsn a_aid awc sscid cjevent irclickid partner_key affid affiliate_id affcode "
        "idev mbsy".split(),
        "maxCustomEntries": 10,
        "maxTotalChars": 256,
        "minParamLength": 2,
        "maxParamLength": 32,
    }


@pytest.mark.parametrize("path", [CLICK, SIGNUP])
async def test_a_page_may_send_json_once_it_has_asked(client: httpx.AsyncClient, path: str) -> None:
    asked = await client.request("OPTIONS", path, headers=PAGE | {"access-control-request-method": "POST"})
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == "*"
    assert asked.headers["access-control-allow-headers"] == "content-type"
    assert "access-control-allow-credentials" not in asked.headers


@pytest.mark.parametrize("path", sorted(FOR_PAGES))
async def test_what_is_for_pages_is_for_the_pages_of_every_site_under_a_name_of_ours(
    client: httpx.AsyncClient, path: str
) -> None:
    method = "POST" if path in (CLICK, SIGNUP) else "GET"
    assert (await client.request(method, path, headers=PAGE)).status_code < 300
    assert (await client.request(method, path, headers=PAGE | {"host": "evil.example"})).status_code == 421


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/r/install-snippet",
        "/api/v1/settings/attribution-params",
        "/api/v1/r/click/",
        "/api/v1/r/click/../../links",
        "/api/v1/r/",
        "/api/v1/links",
        "/api/v1/clicks",
        "/api/v1/leads",
        "/r/a/b",
        "/r",
        "/mcp",
    ],
)
async def test_no_other_path_is_open_to_pages(script: httpx.AsyncClient, path: str) -> None:
    assert not is_for_pages(path)
    for method in ("GET", "POST", "OPTIONS"):
        answer = await script.request(method, path, headers={"origin": "https://shop.example"})
        assert answer.status_code == 403, method
        assert "access-control-allow-origin" not in answer.headers
