"""Watches every transaction of the whole suite: one that changes terms must ask what to keep of them first.

A sale is decided on the terms of its own time, so whoever changes terms outside of `past_terms.kept` makes old sales earn
by new rules. It is looked for in what is sent to the database, where no way around is left: not a bulk update either.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, inspect
from sqlmodel import Session

from rekomi_mcp.storage.past_terms import TERMS

_UPDATE = re.compile(r'UPDATE "?(\w+)"? SET (.*?)(?: WHERE |$)', re.DOTALL)
_COLUMNS = {str(inspect(table).local_table): frozenset(columns) for table, columns in TERMS.items()}
_CHANGED, _ASKED = "terms changed", "terms asked"
_found: list[str] = []


def as_if_always(session: Session) -> None:
    """What this transaction changes of terms is how a test begins, and nothing is kept of what was before."""
    session.connection().info[_ASKED] = True


def changed_terms(statement: str) -> str | None:
    """What a statement changes of terms, in words; None when it changes none."""
    update = _UPDATE.match(statement)
    if update is None:
        return None
    table, assignments = update.groups()
    columns = set(re.findall(r'"?(\w+)"?\s*=', assignments)) & _COLUMNS.get(table, frozenset())
    return f"{table}: {', '.join(sorted(columns))}" if columns else None


def _sent(connection: Connection, _: Any, statement: str, *__: Any) -> None:
    if statement.startswith("UPDATE") and (terms := changed_terms(statement)) is not None:
        connection.info.setdefault(_CHANGED, []).append(terms)
    elif "max(past_terms.until)" in statement:
        connection.info[_ASKED] = True


def _commits(connection: Connection) -> None:
    if _CHANGED in connection.info and _ASKED not in connection.info:
        _found.extend(connection.info[_CHANGED])
    _ended(connection)


def _ended(connection: Connection) -> None:
    if connection.invalidated:
        return  # the server has gone, and what was noted of the connection with it
    for name in (_CHANGED, _ASKED):
        connection.info.pop(name, None)


_HOOKS = (("before_cursor_execute", _sent), ("commit", _commits), ("rollback", _ended))


def pytest_configure() -> None:
    for name, hook in _HOOKS:
        event.listen(Engine, name, hook)


def pytest_unconfigure() -> None:
    for name, hook in _HOOKS:
        event.remove(Engine, name, hook)


@pytest.fixture(autouse=True)
def watched_terms() -> Generator[list[str]]:
    """Fails the test during which terms were changed and nothing was kept of them."""
    _found.clear()
    yield _found
    assert not _found, "terms were changed outside of past_terms.kept: " + "; ".join(_found)
