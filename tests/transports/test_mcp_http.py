"""MCP over HTTP, for real: a server on a port, clients of both protocol eras, and those who must stay outside."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.serving import build_http_app
from rekomi_mcp.settings import Settings
from rekomi_mcp.tools import CATALOGUE
from tests.support.servers import listening, port_of, serving
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio

LIMIT_BYTES = 64 * 1024
PING: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@dataclass(frozen=True)
class Served:
    """A server that runs, background work and all."""

    address: str
    app: App
    world: World

    @property
    def mcp(self) -> str:
        return f"{self.address}/mcp"


@pytest.fixture(scope="module")
async def served(
    anyio_backend: str, sqlite_template: Path, session_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Served]:
    folder = tmp_path_factory.mktemp("served")
    shutil.copyfile(sqlite_template, folder / "store.db")
    world = World.load(session_folder / "sqlite.json")
    with listening() as listener:
        app = App(
            Settings(
                database_url=f"sqlite:///{folder / 'store.db'}",
                data_dir=folder,
                port=port_of(listener),
                max_body_bytes=LIMIT_BYTES,
                poll_seconds=3600,  # so that what arrives has come by webhook
            )
        )
        async with serving(build_http_app(app), listener) as address:
            yield Served(address, app, world)


@pytest.fixture(params=["auto", "legacy"])
async def client(request: pytest.FixtureRequest, served: Served) -> AsyncGenerator[Client]:
    headers = {"authorization": f"Bearer {served.world.acme.mcp_token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=10) as http,
        Client(streamable_http_client(served.mcp, http_client=http), mode=request.param) as client,
    ):
        version = LATEST_MODERN_VERSION if request.param == "auto" else LATEST_HANDSHAKE_VERSION
        assert client.protocol_version == version
        yield client


async def post(served: Served, headers: dict[str, str], token: str | None = None, **body: Any) -> httpx.Response:
    """One request to the MCP endpoint, with the header of a token if one is given."""
    given = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    if token is not None:
        given["authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient() as client:
        return await client.post(served.mcp, json=PING | body, headers=given | headers)


async def test_a_client_sees_every_tool_and_works_with_them(served: Served, client: Client) -> None:
    tools = {tool.name for tool in (await client.list_tools()).tools}
    assert tools == {operation.name for operation in CATALOGUE.listed()}
    me = await client.call_tool("whoami", {})
    assert me.structured_content is not None
    assert me.structured_content["organizationId"] == served.world.acme.id
    assert (me.structured_content["actorType"], me.structured_content["stripeMode"]) == ("mcp", "sandbox")
    wrong = await client.call_tool("get_affiliate", {"affiliateId": served.world.neighbour.affiliate})
    assert wrong.is_error


async def test_what_a_client_does_is_audited_with_where_it_came_from(served: Served, client: Client) -> None:
    email = f"{client.protocol_version}@example.com"
    assert not (await client.call_tool("create_affiliate", {"email": email})).is_error
    wanted = {"action": "affiliate.created", "take": 1}
    [line] = (await operate(served.app, "list_audit_log", wanted, System(served.world.acme.id)))["items"]
    assert line["after"]["email"] == email
    assert (line["actorType"], line["ip"]) == ("mcp", "127.0.0.1")
    assert line["userAgent"]


async def test_a_sale_arrives_by_the_sandboxs_own_webhook(served: Served, client: Client) -> None:
    """Nobody polls and nobody is told: the server links its sandbox to its own address."""
    brand, text = served.world.acme, f"WEBHOOK-{client.protocol_version.replace('-', '')}"
    made = await client.call_tool(
        "create_campaign_coupon", {"programId": brand.program, "name": "Summer", "discountValue": 20}
    )
    assert made.structured_content is not None
    wanted = {"affiliateId": brand.affiliate, "couponId": made.structured_content["id"], "code": text}
    assert not (await client.call_tool("mint_affiliate_code", wanted)).is_error
    state = State(served.app.settings.sandbox_path)
    sold = Simulation(state).checkout(amount=10_000, code=text)
    state.close()
    found: list[dict[str, Any]] = []
    with anyio.fail_after(10):
        while not found:
            await anyio.sleep(0.02)
            listed = await client.call_tool("list_conversions", {"code": text, "detail": "detailed"})
            assert listed.structured_content is not None
            found = listed.structured_content["items"]
    assert [(c["externalEventId"], c["commissionCents"]) for c in found] == [(sold["session"], 1600)]


async def test_eight_clients_at_once_are_all_answered(served: Served) -> None:
    headers = {"authorization": f"Bearer {served.world.acme.mcp_token}"}
    answered: list[str] = []

    async def work(mode: str) -> None:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=10) as http,
            Client(streamable_http_client(served.mcp, http_client=http), mode=mode) as client,
        ):
            for _ in range(3):
                result = await client.call_tool("list_affiliates", {"take": 1})
                assert not result.is_error
            answered.append(mode)

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(work, "auto" if number % 2 else "legacy")
    assert len(answered) == 8


@pytest.mark.parametrize("credential", ["none", "nonsense", "rk_mcp_nonsense", "live token", "Basic"])
async def test_a_client_without_a_good_token_is_challenged(served: Served, credential: str) -> None:
    token = {"none": None, "live token": served.world.acme.live_token, "Basic": None}.get(credential, credential)
    answer = await post(served, {"authorization": "Basic cmVrb21pOg=="} if credential == "Basic" else {}, token)
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith('Bearer realm="rekomi"')
    assert "invalid_token" in answer.headers["www-authenticate"]


async def test_a_revoked_token_is_told_so(served: Served) -> None:
    made = await operate(
        served.app, "create_token", {"organization": "acme", "kind": "MCP", "name": "old", "scope": "read"}
    )
    await operate(served.app, "revoke_token", {"tokenId": made["id"]})
    answer = await post(served, {}, made["token"])
    assert (answer.status_code, answer.json()["error"]) == (401, "token_revoked")
    assert "token_revoked" in answer.headers["www-authenticate"]


async def test_a_page_in_a_browser_cannot_reach_the_server_under_another_name(served: Served) -> None:
    """DNS rebinding: the request arrives at our address, with somebody else's name on it."""
    token = served.world.acme.mcp_token
    assert (await post(served, {"host": "evil.example"}, token)).status_code == 421
    assert (await post(served, {"origin": "https://evil.example"}, token)).status_code == 403
    fine = await post(served, {"origin": served.address, "mcp-protocol-version": LATEST_HANDSHAKE_VERSION}, token)
    assert fine.status_code == 200
    assert {tool["name"] for tool in fine.json()["result"]["tools"]} >= {"whoami"}


async def test_a_request_larger_than_the_limit_is_refused(served: Served) -> None:
    arguments = {"name": "whoami", "arguments": {"padding": "x" * LIMIT_BYTES}}
    answer = await post(
        served,
        {"mcp-protocol-version": LATEST_HANDSHAKE_VERSION},
        served.world.acme.mcp_token,
        method="tools/call",
        params=arguments,
    )
    assert answer.status_code == 413


async def test_the_api_and_its_health_are_on_the_same_port(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.address) as client:
        assert (await client.get("/healthz")).json()["status"] == "ok"
        headers = {"authorization": f"Bearer {served.world.acme.live_token}"}
        assert (await client.get("/api/v1/whoami", headers=headers)).json()["actorType"] == "api_key"
        headers = {"authorization": f"Bearer {served.world.acme.mcp_token}"}
        assert (await client.get("/api/v1/whoami", headers=headers)).status_code == 401
        described = (await client.get("/openapi.json")).json()
        assert described["servers"] == [{"url": served.address}]
