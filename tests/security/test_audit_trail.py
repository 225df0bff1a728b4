"""The audit log as an attacker sees it: nothing in it can be changed, and nothing that is written to it obeys anybody."""

from __future__ import annotations

import ast
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import ActorType, LocalOwner
from rekomi_mcp.operation import AnyOperation
from rekomi_mcp.serving import build_http_app
from rekomi_mcp.tools import CATALOGUE
from tests.support.doors import doors_of
from tests.support.world import World, operate
from tests.test_architecture import modules, tree

pytestmark = pytest.mark.anyio


def client_of(facade: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(facade), base_url="http://127.0.0.1")


async def newest(app: App) -> dict[str, Any]:
    """The newest line, as the person at the machine sees it."""
    owner = LocalOwner(ActorType.USER, "acme")
    return (await operate(app, "list_audit_log", {"take": 1}, owner))["items"][0]


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (b"curl/8.5", "curl/8.5"),
        (b"a\x9b31mb", "a 31mb"),
        (b"x" * 5_000, "x" * 200),
        (b"caf\xe9", "café"),
        (b"\x80\x81", ""),
    ],
    ids=["honest", "escape", "long", "accent", "nothing visible"],
)
async def test_what_a_client_calls_itself_is_kept_short_and_visible(
    app: App, world: World, header: bytes, kept: str
) -> None:
    token = world.acme.live_token.encode()
    async with client_of(build_http_app(app)) as client:
        path = f"/api/v1/affiliates/{world.acme.affiliate}"
        headers = [(b"authorization", b"Bearer " + token), (b"user-agent", header)]
        assert (await client.patch(path, json={"notes": "x"}, headers=headers)).status_code == 200
    line = await newest(app)
    assert (line["action"], line["userAgent"]) == ("affiliate.updated", kept)


async def test_a_token_sees_what_was_done_and_not_from_where(app: App, world: World) -> None:
    headers = {"authorization": f"Bearer {world.acme.live_token}", "user-agent": "secret-agent"}
    async with client_of(build_http_app(app)) as client:
        await client.patch(f"/api/v1/affiliates/{world.acme.affiliate}", json={"notes": "x"}, headers=headers)
        listed = await client.get("/api/v1/audit-log", headers=headers)
    assert listed.json()["items"][0]["action"] == "affiliate.updated"
    for line in listed.json()["items"]:
        assert (line["ip"], line["userAgent"], line["actorUserId"]) == (None, None, None)
    assert "secret-agent" not in listed.text


def test_no_code_changes_or_deletes_a_line() -> None:
    """Lines are inserted, in one place; the head moves on."""
    touched = {
        (module, ast.unparse(node.func).rpartition(".")[2])
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and any("AuditLineRow" in ast.unparse(argument) for argument in node.args)
    }
    changing = {(module, verb) for module, verb in touched if verb in ("insert", "update", "delete")}
    assert changing == {("rekomi_mcp.storage.audit", "insert")}


async def test_no_operation_that_callers_reach_writes_to_tokens_or_organizations() -> None:
    """Who holds a token can neither widen it nor make another: tokens and plans are the operator's, at the machine."""
    hidden = {"create_token", "revoke_token", "list_tokens", "create_organization", "update_organization"}
    hidden |= {"create_signing_secret", "list_signing_secrets", "revoke_signing_secret"}
    assert not hidden & {operation.name for operation in CATALOGUE.exposed()}
    assert hidden <= {operation.name for operation in CATALOGUE}


@pytest.mark.parametrize("operation", [o for o in CATALOGUE if not o.exposed], ids=lambda o: o.name)
async def test_the_operators_commands_have_no_door(app: App, world: World, operation: AnyOperation) -> None:
    async with doors_of(app) as doors:
        answer = await doors.post(world.acme.mcp_token, "tools/call", {"name": operation.name, "arguments": {}})
    assert answer.json()["error"]["code"] == -32602
