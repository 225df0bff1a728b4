"""The sandbox's memory: one SQLite file that any number of processes may use at once."""

import sqlite3
import threading
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rekomi_mcp.sandbox.clock import offset_seconds
from rekomi_mcp.sandbox.errors import Busy
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.work import Work

SCHEMA_VERSION: Final = 1

_BUSY_TIMEOUT_SECONDS = 30

_TABLES = """
CREATE TABLE objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    created INTEGER NOT NULL,
    due INTEGER,
    body TEXT NOT NULL,
    UNIQUE (account, type, id)
);
CREATE INDEX objects_by_age ON objects (account, type, created, seq);
CREATE INDEX objects_by_due ON objects (due) WHERE due IS NOT NULL;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event INTEGER NOT NULL REFERENCES objects (seq),
    endpoint INTEGER NOT NULL REFERENCES objects (seq),
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL
);
CREATE INDEX deliveries_by_due ON deliveries (due) WHERE due IS NOT NULL;
CREATE INDEX deliveries_by_event ON deliveries (event);
CREATE TABLE idempotency (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    request_id TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (account, key)
);
CREATE TABLE settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""

# What lists filter by and lookups start from; without these a long-lived sandbox would scan.
_INDEXED = (
    ("promotion_code", "_.text"),
    ("promotion_code", "promotion.coupon"),
    ("customer", "email"),
    ("product", "name"),
    ("price", "product"),
    ("checkout.session", "payment_intent"),
    ("checkout.session", "subscription"),
    ("subscription", "customer"),
    ("invoice", "customer"),
    ("invoice", "parent.subscription_details.subscription"),
    ("invoice_payment", "invoice"),
    ("invoice_payment", "payment.payment_intent"),
    ("charge", "customer"),
    ("charge", "payment_intent"),
    ("refund", "charge"),
    ("event", "type"),
)


class State:
    """The state file. Every request is one transaction on it: `with state.write() as work: …`.

    Nothing is kept in memory but idle connections, so several processes may share the file and a killed one leaves
    it consistent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        # Threads of this process queue here; SQLite's own waiting is a poll and not fair.
        self._writing = threading.Lock()
        self._guard = threading.Lock()
        # So that a short-lived `State(path)` may be used without closing it.
        weakref.finalize(self, _close_all, self._idle)

    @contextmanager
    def write(self, account: str = "", request: JsonObject | None = None) -> Generator[Work]:
        """A transaction that may change things. It commits when the block ends and vanishes when it raises."""
        with self._writing, self._connection() as db:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                raise Busy("The sandbox's state file is locked by another process.", code="lock_timeout") from error
            try:
                yield Work(db, account, _clock(db), request)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a failed commit may have ended it
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self, account: str = "") -> Generator[Work]:
        """A consistent view. Nothing it writes would be kept."""
        with self._connection() as db:
            db.execute("BEGIN")
            try:
                yield Work(db, account, _clock(db), None)
            finally:
                db.execute("ROLLBACK")

    def close(self) -> None:
        """Close the idle connections. The state may be used again afterwards."""
        with self._guard:
            _close_all(self._idle)

    @contextmanager
    def _connection(self) -> Generator[sqlite3.Connection]:
        with self._guard:
            db = self._idle.pop() if self._idle else None
        if db is None:
            db = self._open()
        try:
            yield db
        finally:
            with self._guard:
                self._idle.append(db)

    def _open(self) -> sqlite3.Connection:
        # The folder also holds the server's own store, whichever of the two is opened first.
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._path.exists():
            self._path.touch(mode=0o600)
        db = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _become_wal(db)
            # In WAL mode this survives a killed process; only a power cut can lose the last requests.
            db.execute("PRAGMA synchronous = NORMAL")
            _create_tables(db, self._path)
        except BaseException:
            db.close()
            raise
        return db


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


def _become_wal(db: sqlite3.Connection) -> None:
    """Switch a new file to WAL. SQLite does not wait when two processes do it at the same moment, so we do."""
    deadline = time.monotonic() + _BUSY_TIMEOUT_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _create_tables(db: sqlite3.Connection, path: Path) -> None:
    if _schema_version(db) == SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        found = _schema_version(db)
        if found == 0:
            statements = _TABLES.split(";\n") + [
                f"CREATE INDEX \"{type}:{field}\" ON objects (account, json_extract(body, '$.{field}'), created, seq)"
                f" WHERE type = '{type}'"
                for type, field in _INDEXED
            ]
            for statement in statements:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif found != SCHEMA_VERSION:
            raise RuntimeError(f"{path} was written by another version of the sandbox; delete it to start anew.")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _schema_version(db: sqlite3.Connection) -> int:
    return db.execute("PRAGMA user_version").fetchone()[0]


def _clock(db: sqlite3.Connection) -> int:
    return int(time.time()) + offset_seconds(db)
