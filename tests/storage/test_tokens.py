"""Bearer tokens: random, kept as a digest, and recognisable by a hint that tells nothing."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import inspect, text

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import TokenKind
from rekomi_mcp.storage import tokens
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.tables import ApiTokenRow
from tests.storage.support import at
from tests.support.world import World, operate

SHOWN = 4
"""Characters of the random part that a hint may show."""


def random_part(secret: str, kind: TokenKind) -> str:
    assert secret.startswith(kind.value)
    return secret.removeprefix(kind.value)


def token_row(organization_id: str, number: int, **more: Any) -> ApiTokenRow:
    values: dict[str, Any] = {
        "organization_id": organization_id,
        "kind": "MCP",
        "name": "test",
        "hint": "rk_mcp_abcd…",
        "sha256": f"digest-{number}",
        "scope": "read",
        "role": "Viewer",
        "created_at": at(number),
    }
    return ApiTokenRow(**(values | more))


@pytest.mark.parametrize("kind", TokenKind)
def test_a_token_is_its_prefix_and_32_random_bytes(kind: TokenKind) -> None:
    secrets = {random_part(tokens.new_secret(kind), kind) for _ in range(200)}
    assert len(secrets) == 200
    assert {len(base64.urlsafe_b64decode(secret + "=")) for secret in secrets} == {32}


@pytest.mark.parametrize("kind", TokenKind)
def test_a_hint_shows_the_prefix_and_four_characters(kind: TokenKind) -> None:
    for _ in range(50):
        secret = tokens.new_secret(kind)
        assert tokens.hint(secret) == f"{kind.value}{random_part(secret, kind)[:SHOWN]}…"


def test_a_token_is_kept_as_the_sha256_of_its_whole_text() -> None:
    assert tokens.digest("rk_mcp_abc") == hashlib.sha256(b"rk_mcp_abc").hexdigest()


def everything_stored(store: Store) -> str:
    """Every value of every table, as text."""
    with store.reading() as session:
        connection = session.connection()
        return "\n".join(
            repr(row)
            for table in inspect(connection).get_table_names()
            for row in connection.execute(text(f"SELECT * FROM {table}"))
        )


@pytest.mark.anyio
@pytest.mark.parametrize("kind", TokenKind)
async def test_a_created_token_is_nowhere_in_the_database(app: App, world: World, kind: TokenKind) -> None:
    wanted = {"organization": world.acme.slug, "kind": kind.name, "name": "test"}
    secret = (await operate(app, "create_token", wanted))["token"]
    stored = everything_stored(app.open_store())
    assert tokens.digest(secret) in stored
    assert random_part(secret, kind)[: SHOWN + 4] not in stored


def test_only_tokens_that_still_open_a_door_are_counted(store: Store, world: World) -> None:
    now, acme = at(100), world.acme.id
    with store.writing() as session:
        before = tokens.count_active(session, acme, TokenKind.MCP, now)
        session.add_all(
            [
                token_row(acme, 1),
                token_row(acme, 2, expires_at=now + timedelta(seconds=1)),
                token_row(acme, 3, expires_at=now),
                token_row(acme, 4, revoked_at=at(50)),
                token_row(acme, 5, kind="LIVE"),
                token_row(world.neighbour.id, 6),
            ]
        )
        session.flush()
        assert tokens.count_active(session, acme, TokenKind.MCP, now) == before + 2


def test_an_organization_sees_its_own_tokens_oldest_first(store: Store, world: World) -> None:
    with store.writing() as session:
        session.add_all([token_row(world.acme.id, 2), token_row(world.acme.id, 1), token_row(world.neighbour.id, 3)])
        session.flush()
        found = tokens.of_organization(session, world.acme.id)
        assert [row.created_at for row in found] == sorted(row.created_at for row in found)
        digests = {row.sha256 for row in found}
        assert {"digest-1", "digest-2"} <= digests
        assert "digest-3" not in digests
