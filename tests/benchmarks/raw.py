"""The floor's side of a store: the driver itself, with the statements a person would write by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, cast

import psycopg
from sqlalchemy.engine import make_url


class Raw:
    """One connection of the driver, as fast as it goes. Statements name their values `:name`."""

    def __init__(self, database_url: str) -> None:
        url = make_url(database_url)
        self._sqlite: sqlite3.Connection | None = None
        self._postgres: psycopg.Connection[tuple[Any, ...]] | None = None
        if url.get_backend_name() == "sqlite":
            self._sqlite = sqlite3.connect(str(url.database), isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=15000"):
                self._sqlite.execute(f"PRAGMA {pragma}")
        else:
            dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
            self._postgres = psycopg.connect(dsn, autocommit=True)

    def rows(self, statement: str, values: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        if self._sqlite is not None:
            return self._sqlite.execute(statement, dict(values)).fetchall()
        assert self._postgres is not None
        return self._postgres.execute(_named(statement, values), values).fetchall()

    def write(self, statement: str, values: Mapping[str, Any]) -> None:
        if self._sqlite is not None:
            self._sqlite.execute(statement, dict(values))
            return
        assert self._postgres is not None
        self._postgres.execute(_named(statement, values), values)

    def close(self) -> None:
        for connection in (self._sqlite, self._postgres):
            if connection is not None:
                connection.close()


def _named(statement: str, values: Mapping[str, Any]) -> Any:
    for name in values:
        statement = statement.replace(f":{name}", f"%({name})s")
    return cast(Any, statement)
