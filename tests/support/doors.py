"""Both doors of the server as a caller from outside meets them: HTTP requests, headers and all, in process."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from starlette.applications import Starlette
from starlette.routing import Route

from rekomi_mcp.app import App
from rekomi_mcp.operation import AnyOperation
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.transports.http import EXCEPTION_HANDLERS, build_routes
from rekomi_mcp.transports.mcp import build_mcp_server
from rekomi_mcp.transports.mcp_http import build_mcp_endpoint, identify_http
from tests.support.callers import Reply, fill_path, in_full
from tests.support.world import Brand

DOORS = ("http", "mcp")
MCP_HEADERS = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": LATEST_HANDSHAKE_VERSION,
}


def key_to(door: str, brand: Brand) -> str:
    """The brand's own token for a door."""
    return brand.live_token if door == "http" else brand.mcp_token


@dataclass(frozen=True, slots=True)
class Doors:
    client: httpx.AsyncClient

    async def call(
        self, door: str, operation: AnyOperation, arguments: dict[str, Any], token: str, key: str | None = None
    ) -> Reply:
        """Call an operation; `Reply.code` is `ok` or the error code, wherever in the answer it stands."""
        send = self._api if door == "http" else self._mcp
        return await send(operation, arguments, token, key)

    async def _api(self, operation: AnyOperation, arguments: dict[str, Any], token: str, key: str | None) -> Reply:
        assert operation.route is not None
        path, rest = fill_path(operation.route.path, arguments, quoted=True)
        headers = {"authorization": f"Bearer {token}"} | ({"idempotency-key": key} if key else {})
        how: dict[str, Any] = {"params" if operation.route.method in ("GET", "DELETE") else "json": rest}
        answer = await self.client.request(operation.route.method, path, headers=headers, **how)
        body: dict[str, Any] | None = answer.json() if answer.content else None
        code = "ok" if answer.is_success else str((body or {})["error"])
        return Reply(code, body, answer.headers.get("idempotency-replayed") == "true")

    async def _mcp(self, operation: AnyOperation, arguments: dict[str, Any], token: str, key: str | None) -> Reply:
        given = in_full(operation, arguments) | ({"idempotencyKey": key} if key else {})
        return reply_of(await self.post(token, "tools/call", {"name": operation.name, "arguments": given}))

    async def post(self, token: str, method: str, params: dict[str, Any] | None = None) -> httpx.Response:
        """One message to the MCP endpoint."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": method}
        if params is not None:
            message["params"] = params
        headers = MCP_HEADERS | {"authorization": f"Bearer {token}"}
        return await self.client.post("/mcp", content=json.dumps(message), headers=headers)


def reply_of(answer: httpx.Response) -> Reply:
    """A tool's answer, or the refusal that came before the protocol."""
    body = answer.json()
    if not answer.is_success:
        return Reply(str(body.get("error")), body)
    result = body["result"]
    content = json.loads(result["content"][0]["text"])
    return Reply(content["error"] if result.get("isError") else "ok", content)


@asynccontextmanager
async def doors_of(app: App) -> AsyncGenerator[Doors]:
    server = build_mcp_server(CATALOGUE, app.pipeline, identify_http, sandbox=True)
    endpoint, sessions = build_mcp_endpoint(server, app.pipeline, app.settings)
    routes = build_routes(CATALOGUE, app.pipeline, app.settings.max_body_bytes)
    outside = Starlette(
        routes=[Route("/mcp", endpoint, methods=["POST"]), *routes], exception_handlers=EXCEPTION_HANDLERS
    )
    outside.router.redirect_slashes = False  # as the server has it
    transport = httpx.ASGITransport(outside, raise_app_exceptions=False)
    async with sessions.run(), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield Doors(client)
