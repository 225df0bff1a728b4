"""Call an operation over either transport, and see what came back in the same form."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from mcp import Client
from mcp.types import TextContent
from starlette.applications import Starlette

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import BearerToken, TokenKind
from rekomi_mcp.operation import AnyOperation
from rekomi_mcp.pipeline import Origin
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.transports.answers import details_of
from rekomi_mcp.transports.http import EXCEPTION_HANDLERS, build_routes
from rekomi_mcp.transports.mcp import build_mcp_server


@dataclass(frozen=True, slots=True)
class Reply:
    """`code` is "ok" or the error code; `body` is the JSON, None where the answer has no body."""

    code: str
    body: dict[str, Any] | None
    replayed: bool = False


Caller = Callable[..., Awaitable[Reply]]
"""`await call(operation, arguments, token, key=None)`"""


def http_caller(app: App) -> Caller:
    """Over the HTTP facade, in process."""
    routes = build_routes(CATALOGUE, app.pipeline, app.settings.max_body_bytes)
    transport = httpx.ASGITransport(Starlette(routes=[*routes], exception_handlers=EXCEPTION_HANDLERS))

    async def call(operation: AnyOperation, arguments: dict[str, Any], token: str, key: str | None = None) -> Reply:
        assert operation.route is not None
        path, rest = fill_path(operation.route.path, arguments)
        headers = {"authorization": f"Bearer {token}"} | ({"idempotency-key": key} if key else {})
        in_query = operation.route.method in ("GET", "DELETE")
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.request(
                operation.route.method,
                path,
                headers=headers,
                params=rest if in_query else None,
                json=None if in_query else rest,
            )
        body: dict[str, Any] | None = answer.json() if answer.content else None
        code = "ok" if answer.is_success else str((body or {})["error"])
        return Reply(code, body, answer.headers.get("idempotency-replayed") == "true")

    return call


def mcp_caller(app: App, mode: str = "auto") -> Caller:
    """Over MCP, in memory, in either protocol era."""

    async def call(operation: AnyOperation, arguments: dict[str, Any], token: str, key: str | None = None) -> Reply:
        server = build_mcp_server(
            CATALOGUE, app.pipeline, lambda _: (BearerToken(token, TokenKind.MCP), Origin()), sandbox=True
        )
        given = in_full(operation, arguments) | ({"idempotencyKey": key} if key else {})
        async with Client(server, mode=mode) as client:  # pyright: ignore[reportArgumentType]
            answer = await client.call_tool(operation.name, given)
        assert isinstance(answer.content[0], TextContent)
        body = json.loads(answer.content[0].text)
        if not answer.is_error:
            assert answer.structured_content == body
        return Reply(body["error"] if answer.is_error else "ok", body)

    return call


def in_full(operation: AnyOperation, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that make a list answer as much over MCP as over HTTP."""
    return {"detail": "detailed", **arguments} if details_of(operation) else arguments


def fill_path(path: str, arguments: dict[str, Any], quoted: bool = False) -> tuple[str, dict[str, Any]]:
    """The path with its parameters filled in, and the arguments that are left."""
    rest = dict(arguments)

    def fill(match: re.Match[str]) -> str:
        value = str(rest.pop(match[1], "missing"))
        return quote(value, safe="") if quoted else value

    return re.sub(r"{(\w+)}", fill, path), rest
