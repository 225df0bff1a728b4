"""Tracking links: the visitor gets to the brand's site whatever happens, and the visit is noted without an address."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.storage.tables import AffiliateLinkRow, ClickRow
from rekomi_mcp.transports import visitors
from rekomi_mcp.transports.redirects import COOKIE
from tests.support.contents import audit_lines
from tests.support.stage import all_rows
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio

PERSON = {"user-agent": "Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/140.0.0.0 Mobile Safari/537.36"}
BOT = {"user-agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"}
SHOP = "https://shop.example/pricing?plan=pro#top"


@pytest.fixture
async def shop(app: App, world: World) -> str:
    """The address of Acme's site, where its links lead; answers the slug of Sarah's link."""
    arguments = {"programId": world.acme.program, "websiteUrl": SHOP}
    await operate(app, "update_program", arguments, System(world.acme.id))
    return world.acme.slug_of_link


def clicks(app: App) -> list[ClickRow]:
    return sorted(all_rows(app.settings.store_url, ClickRow), key=lambda row: row.id)


def query_of(answer: httpx.Response) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


async def follow(client: httpx.AsyncClient, slug: str, query: str = "", **headers: str) -> httpx.Response:
    return await client.get(f"/r/{slug}{query}", headers=PERSON | headers)


async def test_a_link_leads_to_the_programs_site_with_the_slug_and_the_click(
    app: App, client: httpx.AsyncClient, world: World, shop: str
) -> None:
    answer = await follow(client, shop)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("https://shop.example/pricing?plan=pro&via=sarah-lee&rk_click=")
    assert answer.headers["location"].endswith("#top")
    assert answer.headers["cache-control"] == "no-store"
    [click] = clicks(app)
    assert query_of(answer)["rk_click"] == click.id
    assert (click.organization_id, click.program_id) == (world.acme.id, world.acme.program)
    assert (click.affiliate_id, click.link_id) == (world.acme.affiliate, world.acme.link)
    assert (click.device, click.country, click.referrer_host) == ("Mobile", None, None)


async def test_a_link_with_a_destination_of_its_own_leads_there(
    app: App, client: httpx.AsyncClient, world: World, shop: str
) -> None:
    wanted = {
        "affiliateId": world.acme.affiliate,
        "slug": "sarah-spring",
        "destinationUrl": "https://shop.example/spring",
    }
    await operate(app, "create_link", wanted, System(world.acme.id))
    answer = await follow(client, "SARAH-Spring")
    assert answer.headers["location"].startswith("https://shop.example/spring?via=sarah-spring&rk_click=")


async def test_an_old_slug_leads_where_the_new_one_does(
    app: App, client: httpx.AsyncClient, world: World, shop: str
) -> None:
    await operate(app, "rename_link", {"linkId": world.acme.link, "slug": "sarah-2"}, System(world.acme.id))
    for slug in (shop, "sarah-2"):
        assert query_of(await follow(client, slug))["via"] == "sarah-2"
    assert {click.link_id for click in clicks(app)} == {world.acme.link}


async def test_what_the_affiliate_wrote_into_the_link_is_noted_and_passed_on(
    app: App, client: httpx.AsyncClient, shop: str
) -> None:
    query = (
        "?utm_source=You%20Tube&utm_campaign=a%26b&sub_id=video%207&next=https://evil.example&via=tom&rk_click=forged"
    )
    answer = await follow(client, shop, query, referer="https://www.youtube.com/watch?v=secret")
    [click] = clicks(app)
    assert query_of(answer) == {
        "plan": "pro",
        "via": "sarah-lee",
        "utm_source": "You Tube",
        "utm_campaign": "a&b",
        "sub_id": "video 7",
        "rk_click": click.id,
    }
    assert (click.utm_source, click.utm_campaign, click.sub_id) == ("You Tube", "a&b", "video 7")
    assert (click.utm_medium, click.referrer_host) == (None, "www.youtube.com")


@pytest.mark.parametrize(
    "query",
    [
        "?url=https://evil.example",
        "?via=//evil.example",
        "?utm_source=%0d%0aLocation:%20https://evil.example",
        "?%00=%00",
    ],
)
async def test_no_request_makes_a_link_lead_elsewhere(client: httpx.AsyncClient, shop: str, query: str) -> None:
    answer = await follow(client, shop, query, host="127.0.0.1", referer="https://evil.example")
    assert urlsplit(answer.headers["location"]).netloc == "shop.example"
    assert "\n" not in answer.headers["location"]


@pytest.mark.parametrize(
    "slug", ["nobody", "s", "..%2f..%2fadmin", "sarah-lee%00", "%F0%9F%99%82", "x" * 2000, "sarah'--"]
)
async def test_a_slug_of_nobody_is_a_small_page(app: App, client: httpx.AsyncClient, shop: str, slug: str) -> None:
    answer = await follow(client, slug)
    assert answer.status_code == 404
    assert clicks(app) == []
    if not slug.startswith(".."):
        assert answer.headers["content-type"].startswith("text/plain")
        assert "leads nowhere" in answer.text


async def test_a_link_without_a_destination_says_what_is_missing(
    app: App, client: httpx.AsyncClient, world: World
) -> None:
    answer = await follow(client, world.acme.slug_of_link)
    assert (answer.status_code, clicks(app)) == (404, [])
    assert "websiteUrl" in answer.text


async def test_a_destination_that_is_not_safe_is_not_followed_even_from_the_store(
    app: App, client: httpx.AsyncClient, world: World, shop: str
) -> None:
    with app.open_store().writing() as session:
        session.get_one(AffiliateLinkRow, world.acme.link).destination_url = "javascript:alert(1)"
    assert (await follow(client, shop)).status_code == 404


async def test_links_of_affiliates_that_earn_nothing_lead_on(
    app: App, client: httpx.AsyncClient, world: World, shop: str
) -> None:
    await operate(
        app, "update_affiliate", {"affiliateId": world.acme.affiliate, "status": "Banned"}, System(world.acme.id)
    )
    assert (await follow(client, shop)).status_code == 302
    await operate(app, "update_organization", {"organization": "acme", "status": "None"})
    assert (await follow(client, shop)).status_code == 302


async def test_a_visitor_is_a_random_id_in_a_cookie_and_nothing_more(
    app: App, client: httpx.AsyncClient, shop: str
) -> None:
    first = await follow(client, shop)
    [cookie] = first.headers.get_list("set-cookie")
    parts = {part.partition("=")[0].lower(): part.partition("=")[2] for part in cookie.split("; ")}
    assert parts[COOKIE] == clicks(app)[0].visitor_id
    assert (parts["path"], parts["samesite"], parts["max-age"]) == ("/r/", "lax", str(60 * 24 * 3600))
    assert "httponly" in parts
    assert "secure" not in parts
    assert not set(parts) & {"domain"}
    columns = set(ClickRow.model_fields)
    assert not [name for name in columns if "ip" in name.split("_") or "address" in name or "agent" in name]


@pytest.mark.parametrize("settings", [{"public_url": "https://go.example/aff"}], indirect=True)
async def test_over_https_the_cookie_stays_there(client: httpx.AsyncClient, shop: str) -> None:
    cookie = (await follow(client, shop)).headers["set-cookie"]
    assert "; Secure" in cookie
    assert "; Path=/aff/r/;" in cookie


async def test_a_visitor_who_comes_back_is_the_same(
    app: App, client: httpx.AsyncClient, world: World, shop: str
) -> None:
    await operate(app, "create_link", {"affiliateId": world.acme.affiliate, "slug": "sarah-b"}, System(world.acme.id))
    await follow(client, shop)
    await follow(client, "sarah-b")
    first, second = clicks(app)
    assert first.visitor_id == second.visitor_id
    client.cookies.clear()
    await follow(client, shop)
    assert len({click.visitor_id for click in clicks(app)}) == 2


@pytest.mark.parametrize("cookie", ["short", "x" * 65, "0123456789 abcdef|x", "ä" * 20])
async def test_a_cookie_that_is_none_of_ours_is_replaced(
    app: App, client: httpx.AsyncClient, shop: str, cookie: str
) -> None:
    answer = await client.get(f"/r/{shop}", headers=[*PERSON.items(), ("cookie", f"{COOKIE}={cookie}".encode())])  # type: ignore[list-item]
    assert answer.status_code == 302
    assert clicks(app)[0].visitor_id not in cookie


async def test_a_double_click_is_one_click(app: App, client: httpx.AsyncClient, shop: str) -> None:
    answers = [await follow(client, shop) for _ in range(3)]
    [click] = clicks(app)
    assert {query_of(answer)["rk_click"] for answer in answers} == {click.id}
    with app.open_store().writing() as session:
        session.get_one(ClickRow, click.id).occurred_at -= timedelta(seconds=6)
    await follow(client, shop)
    assert len(clicks(app)) == 2


async def test_a_program_that_follows_links_is_sent_on_and_not_counted(
    app: App, client: httpx.AsyncClient, world: World, shop: str
) -> None:
    answer = await client.get(f"/r/{shop}", headers=BOT)
    assert (answer.status_code, query_of(answer).get("rk_click")) == (302, None)
    assert "set-cookie" not in answer.headers
    assert [click.device for click in clicks(app)] == ["Bot"]
    head = await client.head(f"/r/{shop}", headers=PERSON)
    assert (head.status_code, len(clicks(app))) == (302, 1)
    assert "set-cookie" not in head.headers
    assert (await operate(app, "list_clicks", {}, System(world.acme.id)))["clicks"] == 0


@pytest.mark.parametrize("header", ["sec-purpose", "purpose", "x-moz"])
async def test_a_page_that_is_only_fetched_ahead_is_no_visit_yet(
    app: App, client: httpx.AsyncClient, shop: str, header: str
) -> None:
    answer = await follow(client, shop, **{header: "prefetch;prerender"})
    assert (answer.status_code, query_of(answer)) == (302, {"plan": "pro", "via": "sarah-lee"})
    assert "set-cookie" not in answer.headers
    assert clicks(app) == []


async def test_a_link_that_was_written_with_a_slash_behind_it_leads_on(
    app: App, client: httpx.AsyncClient, shop: str
) -> None:
    answer = await client.get(f"/r/{shop}/?sub_id=bio", headers=PERSON | {"origin": "https://blog.example"})
    assert (answer.status_code, query_of(answer)["via"]) == (302, "sarah-lee")
    assert [click.sub_id for click in clicks(app)] == ["bio"]


@pytest.mark.parametrize(
    ("settings", "country"), [({}, None), ({"country_header": "CF-IPCountry"}, "DE")], indirect=["settings"]
)
async def test_a_country_is_believed_only_of_a_proxy_that_the_settings_name(
    app: App, client: httpx.AsyncClient, shop: str, country: str | None
) -> None:
    await follow(client, shop, **{"cf-ipcountry": "DE"})
    assert clicks(app)[0].country == country


@pytest.mark.parametrize("settings", [{"visits_per_minute": 3}], indirect=True)
async def test_who_comes_too_often_is_sent_on_uncounted_and_in_the_end_not_at_all(
    app: App, client: httpx.AsyncClient, shop: str
) -> None:
    answers: list[httpx.Response] = []
    for _ in range(3 * visitors.FLOOD + 1):
        client.cookies.clear()
        answers.append(await follow(client, shop))
    assert [answer.status_code for answer in answers] == [302] * (3 * visitors.FLOOD) + [429]
    assert len(clicks(app)) == 3


async def test_a_visitor_gets_there_when_nothing_can_be_written(
    app: App, client: httpx.AsyncClient, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Mapping[str, object]:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(visitors.Reception, "run", broken)
    answer = await follow(client, shop)
    assert (answer.status_code, query_of(answer)) == (302, {"plan": "pro", "via": "sarah-lee"})
    assert clicks(app) == []


async def test_clicks_leave_no_line_in_the_audit_log(app: App, client: httpx.AsyncClient, shop: str) -> None:
    before = audit_lines(app)
    await follow(client, shop)
    assert len(clicks(app)) == 1
    assert audit_lines(app) == before


async def test_a_brands_page_may_lead_to_a_link_and_the_host_must_still_be_ours(
    client: httpx.AsyncClient, shop: str
) -> None:
    assert (await follow(client, shop, origin="https://blog.example")).status_code == 302
    assert (await follow(client, shop, host="evil.example")).status_code == 421
