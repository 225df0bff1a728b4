"""What an assistant is shown: lists without details unless asked for, cut where they grow too long, and only the tools chosen."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import BearerToken, System, TokenKind
from rekomi_mcp.pipeline import Origin
from rekomi_mcp.settings import Settings, SettingsError
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.transports import answers
from rekomi_mcp.transports.mcp import build_mcp_server
from tests.support.world import World, operate, sale, sell

pytestmark = pytest.mark.anyio


def client_of(app: App, world: World) -> Client:
    credential = BearerToken(world.acme.mcp_token, TokenKind.MCP)
    return Client(build_mcp_server(app.tools, app.pipeline, lambda _: (credential, Origin()), sandbox=True))


async def call(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    answer = await client.call_tool(name, arguments)
    assert not answer.is_error, answer
    assert answer.structured_content is not None
    return answer.structured_content


async def test_a_list_is_concise_unless_details_are_asked_for(app: App, world: World) -> None:
    async with client_of(app, world) as client:
        [short] = (await call(client, "list_conversions"))["items"]
        [also_short] = (await call(client, "list_conversions", detail="concise"))["items"]
        [long] = (await call(client, "list_conversions", detail="detailed"))["items"]
    assert short == also_short == {name: long[name] for name in short}
    assert short.keys() >= {"id", "affiliateName", "amount", "commission", "status", "couponCode"}
    assert long.keys() - short.keys() >= {"amountCents", "programId", "externalEventId"}


async def test_an_unknown_argument_is_answered_with_all_that_a_tool_takes(app: App, world: World) -> None:
    async with client_of(app, world) as client:
        reading = await client.call_tool("list_conversions", {"zzz": 1})
        writing = await client.call_tool("create_program", {"zzz": 1})
        close = await client.call_tool("list_conversions", {"detial": "detailed"})
    texts = [json.loads(answer.content[0].text)["message"] for answer in (reading, writing, close)]  # type: ignore[union-attr]
    assert texts[0].endswith(", detail.") and "idempotencyKey" not in texts[0]
    assert texts[1].endswith(", idempotencyKey.")
    assert texts[2] == "Unknown argument 'detial'; did you mean detail?"


async def test_a_detail_that_is_neither_is_refused(app: App, world: World) -> None:
    async with client_of(app, world) as client:
        answer = await client.call_tool("list_conversions", {"detail": "all"})
    assert answer.is_error
    assert json.loads(answer.content[0].text)["field"] == "detail"  # type: ignore[union-attr]


async def test_a_list_that_is_too_long_is_cut_and_goes_on_where_it_was_cut(
    app: App, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    sales = [sale(f"in_{n}", codes=("promo_acme_sarah",), at=moment.replace(hour=n)) for n in range(20)]
    await sell(app, world.acme.id, *sales)
    everything = (await operate(app, "list_conversions", {}, System(world.acme.id)))["items"]
    monkeypatch.setattr(answers, "MAX_CHARS", 3000)
    seen: list[str] = []
    async with client_of(app, world) as client:
        page = await call(client, "list_conversions", take=15)
        assert page["total"] == 21
        assert len(answers.compact(page)) <= 3000 + len(page["note"]) + 20
        assert 1 < len(page["items"]) < 15
        assert page["note"].startswith(f"{len(page['items'])} of the 15 asked for")
        assert "affiliateId, programId, status, code, since, until" in page["note"]
        while True:
            seen += [item["id"] for item in page["items"]]
            if not page["hasMore"]:
                break
            page = await call(client, "list_conversions", take=15, cursor=page["nextCursor"])
    assert seen == [item["id"] for item in everything]


async def test_a_list_says_how_many_there_are_on_its_first_page_only(app: App, world: World) -> None:
    first = await operate(app, "list_audit_log", {"take": 2}, System(world.acme.id))
    everything = await operate(app, "list_audit_log", {"take": 200}, System(world.acme.id))
    assert first["total"] == everything["total"] == len(everything["items"])
    second = await operate(app, "list_audit_log", {"take": 2, "cursor": first["nextCursor"]}, System(world.acme.id))
    assert second["total"] is None


def choosing(app: App, **chosen: Any) -> App:
    return App(app.settings.model_copy(update=chosen))


async def test_only_the_chosen_toolsets_are_tools(app: App, world: World) -> None:
    chosen = choosing(app, toolsets="coupons, account")
    async with chosen.running(), client_of(chosen, world) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == {o.name for o in CATALOGUE.exposed() if o.toolset in ("coupons", "account")}
        with pytest.raises(Exception, match="no tool named 'list_conversions'"):
            await client.call_tool("list_conversions", {})


async def test_a_read_only_server_has_no_writes_at_any_door(app: App, world: World) -> None:
    chosen = choosing(app, read_only=True)
    reads = {operation.name for operation in CATALOGUE.exposed() if operation.reads}
    async with chosen.running(), client_of(chosen, world) as client:
        listed = {operation.name for operation in CATALOGUE.listed()}
        assert {tool.name for tool in (await client.list_tools()).tools} == reads & listed
        with pytest.raises(Exception, match="no tool named 'archive_program'"):
            await client.call_tool("archive_program", {"programId": world.acme.program})
        assert set((await call(client, "whoami"))["may"]) <= reads
    assert {operation.name for operation in chosen.catalogue.exposed()} == reads


async def test_servers_that_offer_the_same_share_its_description(app: App) -> None:
    coupons = choosing(app, toolsets="coupons, account")
    assert choosing(app, toolsets="account,coupons").tools is coupons.tools
    for otherwise in ({"toolsets": "account"}, {"toolsets": "coupons,account", "read_only": True}, {}):
        assert choosing(app, **otherwise).tools is not coupons.tools


async def test_by_default_the_tools_of_daily_use_are_listed_and_every_tool_can_be_called(app: App) -> None:
    listed = {operation.name for operation in app.tools.listed()}
    assert {"create_campaign_coupon", "mint_affiliate_code", "list_conversions", "run_payout_preview"} <= listed
    unlisted = {operation.toolset for operation in app.tools.exposed() if operation.name not in listed}
    assert unlisted == {"audit", "links", "organization", "server", "website"}
    chosen = App(app.settings.model_copy(update={"toolsets": "all"}))
    assert list(chosen.tools.listed()) == list(CATALOGUE.exposed())


def test_a_misspelt_toolset_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"REKOMI_TOOLSETS: there is no toolset 'cupons'\. Did you mean coupons\?"):
        App(Settings(data_dir=tmp_path, toolsets="cupons,sales"))


def test_an_answer_that_is_no_list_is_never_cut() -> None:
    assert answers.fitting({"id": "x" * 2 * answers.MAX_CHARS}) is None
    assert answers.fitting({"items": [{"id": "x" * 2 * answers.MAX_CHARS}]}) is None
