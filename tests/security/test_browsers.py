"""Host and Origin: what a page in somebody's browser sends reaches nothing, under whatever name it comes."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from rekomi_mcp.app import App
from rekomi_mcp.serving import build_http_app
from rekomi_mcp.settings import Settings
from rekomi_mcp.transports.browsers import OwnNames
from tests.support.world import World

pytestmark = pytest.mark.anyio

LOCAL = Settings()
PUBLIC = Settings(public_url="https://affiliates.example.com")
EVERYWHERE = Settings(host="0.0.0.0")
NAMED = Settings(host="rekomi.internal", public_url="https://affiliates.example.com:8443/base")

HOSTS = [
    (LOCAL, "127.0.0.1:8321", True),
    (LOCAL, "localhost", True),
    (LOCAL, "LOCALHOST:8321", True),
    (LOCAL, "[::1]:8321", True),
    (LOCAL, "192.168.1.5:8321", True),  # nobody can point an address elsewhere
    (LOCAL, "evil.example", False),
    (LOCAL, "evil.example:8321", False),
    (LOCAL, "localhost.evil.example", False),
    (LOCAL, "127.0.0.1.evil.example", False),
    (LOCAL, "evil.example@127.0.0.1", False),
    (LOCAL, "127.0.0.1@evil.example", False),
    (LOCAL, "127.0.0.1#.evil.example", False),
    (LOCAL, "affiliates.example.com", False),
    (LOCAL, "[::1", False),
    (LOCAL, "", False),
    (LOCAL, None, False),
    (PUBLIC, "affiliates.example.com", True),
    (PUBLIC, "affiliates.example.com:443", True),
    (PUBLIC, "localhost:8321", True),  # what a proxy that keeps no Host sends
    (PUBLIC, "example.com", False),
    (EVERYWHERE, "localhost:8321", True),
    (EVERYWHERE, "10.0.0.7:8321", True),
    (EVERYWHERE, "evil.example", False),
    (NAMED, "rekomi.internal:8321", True),
    (NAMED, "affiliates.example.com:8443", True),
    (NAMED, "localhost", False),
]
ORIGINS = [
    (LOCAL, None, True),
    (LOCAL, "http://localhost:6274", True),
    (LOCAL, "http://127.0.0.1:8321", True),
    (LOCAL, "http://[::1]:8321", True),
    (LOCAL, "null", False),
    (LOCAL, "", False),
    (LOCAL, "file://", False),
    (LOCAL, "https://evil.example", False),
    (LOCAL, "http://localhost.evil.example", False),
    (LOCAL, "http://192.168.1.5:8321", False),  # a page of another machine
    (LOCAL, "chrome-extension://localhost", False),
    (LOCAL, "https://affiliates.example.com", False),
    (LOCAL, "http://[::1", False),
    (PUBLIC, "https://affiliates.example.com", True),
    (PUBLIC, "HTTPS://Affiliates.Example.com", True),
    (PUBLIC, "http://affiliates.example.com", False),
    (PUBLIC, "https://affiliates.example.com:8443", False),
    (PUBLIC, "https://affiliates.example.com.evil.example", False),
    (NAMED, "https://affiliates.example.com:8443", True),
    (NAMED, "http://localhost:3000", False),
]


@pytest.mark.parametrize(("settings", "host", "ours"), HOSTS)
async def test_a_request_under_another_name_is_none_of_ours(settings: Settings, host: str | None, ours: bool) -> None:
    refusal = OwnNames.of(settings).refusal(host, None)
    assert (refusal.code if refusal else None) == (None if ours else "wrong_host")


@pytest.mark.parametrize(("settings", "origin", "ours"), ORIGINS)
async def test_a_page_of_another_site_may_not_call(settings: Settings, origin: str | None, ours: bool) -> None:
    host = "10.0.0.7"
    refusal = OwnNames.of(settings).refusal(host, origin)
    assert (refusal.code if refusal else None) == (None if ours else "foreign_origin")


def browser(facade: Starlette) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(facade, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8321")


on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
PATHS = ["/mcp", "/api/v1/whoami", "/api/v1/programs", "/openapi.json", "/nothing/here"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD"])
@on_sqlite
async def test_the_whole_server_is_closed_to_browsers(app: App, world: World, path: str, method: str) -> None:
    token = {"authorization": f"Bearer {world.acme.mcp_token if path == '/mcp' else world.acme.live_token}"}
    async with browser(build_http_app(app)) as client:
        renamed = await client.request(method, path, headers=token | {"host": "evil.example"})
        foreign = await client.request(method, path, headers=token | {"origin": "https://evil.example"})
    assert (renamed.status_code, foreign.status_code) == (421, 403)
    if method != "HEAD":
        assert (renamed.json()["error"], foreign.json()["error"]) == ("wrong_host", "foreign_origin")
    for answer in (renamed, foreign):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "evil" not in answer.text


@on_sqlite
async def test_what_tells_nothing_may_be_asked_under_any_name(app: App) -> None:
    """A machine that watches knows an address; Stripe's deliveries are known by their signature."""
    async with browser(build_http_app(app)) as client:
        assert (await client.get("/healthz", headers={"host": "pod-7"})).status_code == 200
        delivered = await client.post("/webhooks/stripe", headers={"host": "tunnel.example"}, content=b"{}")
    assert delivered.json()["error"] == "invalid_signature"


@on_sqlite
async def test_nothing_sets_a_cookie_or_opens_the_server_to_other_origins(app: App, world: World) -> None:
    headers = {"authorization": f"Bearer {world.acme.live_token}", "origin": "http://localhost:3000"}
    async with browser(build_http_app(app)) as client:
        for path in ("/api/v1/whoami", "/openapi.json", "/healthz"):
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 200
            assert not {"set-cookie", "access-control-allow-origin"} & set(answer.headers)
