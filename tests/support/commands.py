"""Commands as the operator types them, and what they leave behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, text
from sqlmodel import select

from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.tables import AuditLineRow


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        return json.loads(self.out)


Cli = Callable[..., Ran]


def everything_stored(database: Path) -> str:
    store = Store(f"sqlite:///{database}")
    with store.reading() as session:
        connection = session.connection()
        tables = inspect(connection).get_table_names()
        found = [repr(row) for name in tables for row in connection.execute(text(f"SELECT * FROM {name}"))]
    store.close()
    return "\n".join(found)


def tamper(database: Path) -> None:
    """Change the audit log's first line behind the server's back."""
    store = Store(f"sqlite:///{database}")
    with store.writing() as session:
        session.exec(select(AuditLineRow)).first().action = "forged"  # pyright: ignore[reportOptionalMemberAccess]
    store.close()


def a_token(cli: Cli, *options: str) -> tuple[str, str]:
    """A new token's text and id."""
    made = cli("token", "create", *options)
    assert made.status == 0, made.err
    secret, described = made.out.splitlines()
    found = re.search(r"id (\S+) revokes it", described)
    assert found is not None
    return secret, found[1]
