"""The store's two kinds of transaction: reading sees one moment and cannot write, writing is all or nothing."""

from __future__ import annotations

import re
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar, cast

import psycopg
import pytest
from sqlalchemy import func, text
from sqlalchemy.exc import DBAPIError, OperationalError, ResourceClosedError, SQLAlchemyError
from sqlalchemy.pool import QueuePool
from sqlmodel import select

from rekomi_mcp.storage import engine
from rekomi_mcp.storage.engine import BusyError, Reader, Store
from rekomi_mcp.storage.tables import PollCursorRow
from tests.storage.support import at
from tests.support.databases import SQLITE_AS_SHIPPED

T = TypeVar("T")


def cursors(reader: Reader) -> int:
    return reader.connection().execute(select(func.count()).select_from(PollCursorRow)).scalar_one()


def add_cursor(store: Store, account: str) -> None:
    with store.writing() as session:
        session.add(PollCursorRow(account=account, read_until=at(0)))


def test_a_reading_session_cannot_write(store: Store) -> None:
    with store.reading() as session:
        session.add(PollCursorRow(account="self", read_until=at(0)))
        with pytest.raises(DBAPIError, match=r"read-only|readonly"):
            session.flush()
        session.rollback()
    with store.reading() as session:
        assert cursors(session) == 0


@pytest.mark.parametrize("statement", ["DELETE FROM poll_cursor", "DROP TABLE poll_cursor", "CREATE TABLE t (x int)"])
def test_a_reading_connection_cannot_change_anything_by_plain_sql(store: Store, statement: str) -> None:
    with store.reading() as session:
        with pytest.raises(DBAPIError, match=r"read-only|readonly"):
            session.connection().execute(text(statement))
        session.rollback()


@pytest.mark.parametrize("statement", ["DELETE FROM poll_cursor", "DROP TABLE poll_cursor", "CREATE TABLE t (x int)"])
def test_a_glancing_connection_cannot_change_anything_by_plain_sql(store: Store, statement: str) -> None:
    kinds = (Store.glancing, Store.glancing_at_once) if store.is_sqlite else (Store.glancing,)
    for kind in kinds:
        with pytest.raises((SQLAlchemyError, BusyError)) as refused, kind(store) as session:
            session.connection().execute(text(statement))
        assert re.search("read-only|readonly", str(refused.value.__cause__ or refused.value))


def test_a_reading_session_sees_one_moment(store: Store) -> None:
    with store.reading() as session:
        before = cursors(session)
        add_cursor(store, "acct_1")
        assert cursors(session) == before
    with store.reading() as session:
        assert cursors(session) == before + 1


def test_a_row_that_was_read_can_be_looked_at_after_the_end(store: Store) -> None:
    add_cursor(store, "acct_1")
    with store.reading() as session:
        row = session.exec(select(PollCursorRow)).one()
    assert row.account == "acct_1"


def test_a_glancing_session_sees_what_is_committed_and_refuses_questions_after_its_end(store: Store) -> None:
    with store.glancing() as session:
        before = cursors(session)
        add_cursor(store, "acct_1")
    with pytest.raises(ResourceClosedError):
        cursors(session)
    with store.glancing() as session:
        assert cursors(session) == before + 1


def test_what_postgresql_has_prepared_outlives_a_reading_transaction(store: Store) -> None:
    if store.is_sqlite:
        pytest.skip("SQLite's driver keeps statements by itself")
    for _ in range(10):
        with store.reading() as session:
            cursors(session)
    with store.reading() as session:
        prepared = session.connection().execute(text("SELECT statement FROM pg_prepared_statements")).scalars().all()
    assert any("poll_cursor" in statement for statement in prepared)


def begun(session: Reader) -> tuple[str, str, bool]:
    """How a transaction on PostgreSQL was begun: isolation, whether it is read-only, and whether there is none."""
    query = text("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")
    isolation, read_only = session.connection().execute(query).one()
    return str(isolation), str(read_only), bool(dbapi(session).autocommit)


def dbapi(session: Reader) -> Any:
    """The driver's connection."""
    return session.connection().connection.dbapi_connection


Kind = Callable[[Store], AbstractContextManager[Reader]]
KINDS: tuple[Kind, ...] = (Store.reading, Store.glancing, Store.writing)
ENDS: tuple[Callable[[Reader], object], ...] = (
    lambda session: cursors(session),
    lambda session: session.connection().execute(text("SELECT nothing FROM nowhere")),
    lambda session: int("an accident"),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ENDS, ids=["well", "by the database", "by an accident"])
def test_a_connection_keeps_nothing_of_what_it_was_lent_for(
    store: Store, kind: Kind, end: Callable[[Reader], object]
) -> None:
    """However that ended: the next to have it reads and writes as if it were new, and nothing is left open."""
    for _ in range(3):
        with suppress(SQLAlchemyError, ValueError), kind(store) as session:
            end(session)
        if not store.is_sqlite:
            with store.reading() as session:
                assert begun(session) == ("repeatable read", "on", False)
            with store.glancing() as session:
                assert begun(session) == ("read committed", "off", True)
            with store.writing() as session:
                assert begun(session) == ("read committed", "off", False)
        with store.writing() as session:
            session.merge(PollCursorRow(account="self", read_until=at(0)))
        with store.reading() as session:
            assert cursors(session) == 1
    assert left_open(store) == []


def left_open(store: Store) -> list[str]:
    """Connections that were not given back, or are still in a transaction."""
    engines = [store.engine, store._reader, *([store._at_once] if store.is_sqlite else [])]  # pyright: ignore[reportPrivateUsage]
    pools = {id(engine.pool): engine.pool for engine in engines}.values()
    found = [f"{pool.status()}" for pool in pools if cast(QueuePool, pool).checkedout()]
    with store.writing() as session:
        if not store.is_sqlite:
            query = text(
                "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
            )
            found += session.connection().execute(query).scalars()
    if store.is_sqlite:
        with store.reading() as session:
            cursors(session)
            lent = dbapi(session)
        found += ["a transaction"] if lent.in_transaction else []
    return found


def test_a_writer_that_could_not_begin_is_given_back(store: Store) -> None:
    if not store.is_sqlite:
        pytest.skip("PostgreSQL has many writers")
    with store.writing() as session:
        dbapi(session).execute("PRAGMA busy_timeout=50")
    with closing(sqlite3.connect(str(store.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            with pytest.raises(OperationalError, match="locked"):
                add_cursor(store, "self")
        other.execute("ROLLBACK")
    add_cursor(store, "self")
    assert left_open(store) == []


def test_a_glance_on_the_event_loop_waits_for_nobody(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'rekomi.db'}")
    begun = time.monotonic()
    with store.glancing_at_once() as glance:
        assert glance.connection().execute(text("SELECT 1")).scalar() == 1
        with pytest.raises(BusyError), store.glancing_at_once():
            pytest.fail("there is one connection")
    store.close()
    with closing(sqlite3.connect(str(store.url.database), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("CREATE TABLE t (x int)")
        with pytest.raises(BusyError), store.glancing_at_once() as glance:
            glance.connection().execute(text("SELECT * FROM t"))
    assert time.monotonic() - begun < 5
    with store.glancing_at_once() as glance:
        assert glance.connection().execute(text("SELECT * FROM t")).all() == []
    store.close()


def test_a_row_that_is_changed_while_reading_is_not_changed(store: Store) -> None:
    add_cursor(store, "self")
    with store.reading() as session:
        session.get_one(PollCursorRow, "self").read_until = at(60)
    with store.reading() as session:
        session.get_one(PollCursorRow, "self").read_until = at(60)
        with pytest.raises(SQLAlchemyError, match=r"read-only|readonly"):
            session.exec(select(PollCursorRow)).all()
    with store.reading() as session:
        assert session.get_one(PollCursorRow, "self").read_until == at(0)


def test_all_but_those_in_flight_go_on_when_postgresql_drops_every_connection(store: Store) -> None:
    if store.is_sqlite:
        pytest.skip("SQLite has no server")
    drop_every_connection(store)

    def ask() -> int:
        with store.reading() as session:
            return cursors(session)

    assert answers(ask) == [0] * 11
    assert left_open(store) == []


def answers(ask: Callable[[], T]) -> list[T]:
    """Of twelve questions one after the other, but for those that the database could not be asked."""
    answered: list[T] = []
    for _ in range(12):
        with suppress(OperationalError):
            answered.append(ask())
    return answered


def drop_every_connection(store: Store) -> None:
    """As PostgreSQL does when it is started anew."""
    address = store.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg.connect(address, autocommit=True)) as other:
        other.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS pid", (pids(store),))


def pids(store: Store) -> list[int]:
    """Of the server's processes behind the pool."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(store.reading()) for _ in range(9)]
        return [session.connection().execute(text("SELECT pg_backend_pid()")).scalar_one() for session in sessions]


def test_a_writing_session_that_fails_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.writing() as session:
            session.add(PollCursorRow(account="acct_1", read_until=at(0)))
            session.flush()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with store.reading() as session:
        assert cursors(session) == 0


def test_a_reader_does_not_wait_for_a_writer(store: Store) -> None:
    with store.writing() as writing:
        writing.add(PollCursorRow(account="acct_1", read_until=at(0)))
        writing.flush()
        with store.reading() as reading:
            assert cursors(reading) == 0


def test_two_writers_at_once_both_write(store: Store) -> None:
    with store.writing() as session:
        session.add(PollCursorRow(account="acct_1", read_until=at(0)))
        session.flush()
        second = Thread(target=add_cursor, args=(store, "acct_2"))
        second.start()
    second.join(timeout=20)
    with store.reading() as session:
        assert cursors(session) == 2


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://u@localhost/db", "oracle://x"]
)
def test_what_cannot_hold_the_store_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"SQLite"):
        Store(url)


def test_an_address_that_is_none_is_refused_as_other_wrong_addresses_are() -> None:
    with pytest.raises(ValueError):
        Store("rekomi.db")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_a_postgresql_address_gets_the_driver_we_ship(scheme: str) -> None:
    store = Store(f"{scheme}://user:word@localhost/rekomi")
    assert store.url.drivername == "postgresql+psycopg"
    assert not store.is_sqlite
    store.close()


def test_a_sqlite_file_gets_a_folder_that_others_cannot_read(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    Store(f"sqlite:///{folder / 'rekomi.db'}").close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("reads_only", [False, True])
def test_sqlite_runs_with_the_settings_that_keep_data_safe(
    tmp_path: Path, reads_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SQLITE_PRAGMAS", SQLITE_AS_SHIPPED)
    store = Store(f"sqlite:///{tmp_path / 'rekomi.db'}")
    with store.reading() if reads_only else store.writing() as session:
        found = {
            name: session.connection().execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only")
        }
    store.close()
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 15000,
        "query_only": int(reads_only),
    }


def test_times_come_back_in_utc_to_the_microsecond(store: Store) -> None:
    wanted = at(90, microseconds=123456)
    with store.writing() as session:
        session.add(PollCursorRow(account="acct_1", read_until=wanted))
    with store.reading() as session:
        row = session.get_one(PollCursorRow, "acct_1")
        assert row.read_until == wanted
        assert str(row.read_until.tzinfo) == "UTC"


def test_a_time_without_a_zone_never_reaches_the_store(store: Store) -> None:
    naive = at(0).replace(tzinfo=None)
    with store.writing() as session:
        session.add(PollCursorRow(account="acct_1", read_until=naive))
        with pytest.raises(Exception, match="without a zone"):
            session.flush()
        session.rollback()
