"""Open the store named by a URL, and hand out its transactions."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, PoolProxiedConnection, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InvalidRequestError,
    OperationalError,
    ResourceClosedError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session

_BUSY_SECONDS = 15
"""How long to wait for somebody else's transaction on SQLite."""
SQLITE_PRAGMAS = (
    "synchronous=FULL",
    "foreign_keys=ON",
    # A batch of sales touches a thousand pages in a large store; many batches to a checkpoint touch mostly the same.
    "wal_autocheckpoint=8000",
)
_ONLY_READS = "only reads"
_ONLY_SELECTS = "rekomi_only_selects"
"""The option of an engine whose statements are held to be questions."""


class BusyError(Exception):
    """What must not wait would have to, or cannot go on at all: who may wait learns which."""


class Store:
    """A database with two kinds of transaction: `reading()` sees one moment, `writing()` commits or leaves nothing.

    On SQLite the two have connections of their own: readers never wait for the one writer, and cannot write. On
    PostgreSQL both use one pool, and a reading transaction is read-only and repeatable. `glancing()` is for one statement,
    which sees one moment by itself, or for several that need not see the same: there PostgreSQL is spared the two round
    trips of a transaction. `glancing_at_once()` is that for the event loop, which must not wait.
    """

    def __init__(self, url: str) -> None:
        self.url = _with_driver(_parsed(url))
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._writer = self._sqlite(pool_size=1, begin="BEGIN IMMEDIATE")
            self._reader = self._glancer = self._sqlite(pool_size=10, begin="BEGIN")
            self._at_once = self._sqlite(pool_size=1, begin="BEGIN", wait=0)
        else:
            # A connection lies in the pool as a glance wants it: of that, changing modes there and back would be a good part.
            pool = self._engine(pool_size=10, isolation_level="AUTOCOMMIT")
            pool.dialect.do_execute = _execute
            self._writer = pool.execution_options(isolation_level="READ COMMITTED")
            self._reader = pool.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            self._glancer = pool.execution_options(**{_ONLY_SELECTS: True})

    @property
    def engine(self) -> Engine:
        """The engine that may write, for migrations."""
        return self._writer

    @contextmanager
    def reading(self) -> Generator[Session]:
        # It ends with a commit: after a rollback PostgreSQL's driver forgets the statements it has prepared.
        with self._reader.connect() as connection, connection.begin():
            yield _Reading(connection)

    @contextmanager
    def glancing(self) -> Generator[Glance]:
        """For statements that read; what is asked of it after it has ended is refused."""
        with closing(Glance(self._glancer)) as glance:
            yield glance

    @contextmanager
    def glancing_at_once(self) -> Generator[Glance]:
        """Like `glancing()`, on SQLite alone, and for nobody does it wait.

        Raises:
            BusyError: it would have to.
        """
        try:
            with closing(Glance(self._at_once)) as glance:
                yield glance
        except (OperationalError, PoolTimeout) as error:
            raise BusyError from error

    @contextmanager
    def writing(self) -> Generator[Session]:
        with Session(self._writer) as session, session.begin():
            yield session

    def close(self) -> None:
        self._reader.dispose()
        self._writer.dispose()
        if self.is_sqlite:
            self._at_once.dispose()

    def _engine(self, pool_size: int, pool_timeout: float = 30, **options: Any) -> Engine:
        # What was bound to a statement is in no error message: it holds addresses and digests, and errors are logged.
        return create_engine(
            self.url, pool_size=pool_size, max_overflow=0, pool_timeout=pool_timeout, hide_parameters=True, **options
        )

    def _sqlite(self, pool_size: int, begin: str, wait: float = _BUSY_SECONDS) -> Engine:
        """`wait` is how many seconds to wait for somebody else's transaction. Without any, nor for a connection."""
        driver = {"check_same_thread": False, "timeout": wait}
        engine = self._engine(pool_size, pool_timeout=30 if wait else 0, connect_args=driver)
        read_only = begin == "BEGIN"

        def connected(connection: Any, _: object) -> None:
            # The driver's own transaction handling begins too late to be IMMEDIATE: switch it off and begin here.
            connection.isolation_level = None
            _use_wal(connection, wait)
            for pragma in (*SQLITE_PRAGMAS, f"query_only={int(read_only)}"):
                connection.execute(f"PRAGMA {pragma}")

        def do_begin(dbapi_connection: Any) -> None:
            try:
                dbapi_connection.execute(begin)
            except sqlite3.OperationalError as error:
                raise OperationalError(begin, None, error) from error

        event.listen(engine, "connect", connected)
        # As the dialect's own: for one listener to an engine's events SQLAlchemy calls all its hooks at every statement.
        engine.dialect.do_begin = do_begin
        return engine


class _Reading(Session):
    """A session on a connection that is opened and ended for it.

    What is read in columns goes straight to the connection: the session's own bookkeeping costs more than a statement.
    """

    def __init__(self, connection: Connection) -> None:
        # A row that was read can be looked at after the end, too.
        super().__init__(connection, expire_on_commit=False, join_transaction_mode="control_fully")
        self.info[_ONLY_READS] = True
        self._its_own = connection

    def connection(self, *_: Any, **__: Any) -> Connection:
        return self._its_own


class Glance:
    """A connection without a transaction, lent for a few questions.

    It has what such reads need of a session, which takes longer to make than a look-up takes: prepared questions go to
    the driver's own cursor, and others by SQLAlchemy.
    """

    def __init__(self, engine: Engine) -> None:
        self.info: dict[str, Any] = {_ONLY_READS: True}
        self.dialect = engine.dialect
        self._engine = engine
        self._connection: Connection | None = None
        self._lent: PoolProxiedConnection | None
        try:
            self._lent = engine.raw_connection()
        except self.dialect.loaded_dbapi.Error as error:
            raise told(error, self.dialect) from error

    def connection(self) -> Connection:
        """For a question that is not prepared.

        Raises:
            ResourceClosedError: it has ended.
        """
        lent = self.driver()
        if self._connection is None:
            self._connection = Connection(self._engine, lent)
        return self._connection

    def driver(self) -> PoolProxiedConnection:
        """For one that is.

        Raises:
            ResourceClosedError: it has ended.
        """
        if self._lent is None:
            raise ResourceClosedError("What was read has ended.")
        return self._lent

    def close(self) -> None:
        lent, self._lent = self._lent, None
        if self._connection is not None:
            self._connection.close()
        elif lent is not None:
            lent.close()


Reader = Session | Glance
"""Of whom columns can be asked."""


def only_reads(reader: Reader) -> bool:
    """Whether nothing is changed through it, so that what it has read once need not be read again."""
    return _ONLY_READS in reader.info


def told(error: Exception, dialect: Dialect, statement: str | None = None) -> StatementError:
    """An error of the driver as SQLAlchemy tells it, without what was asked for."""
    base = dialect.loaded_dbapi.Error
    return DBAPIError.instance(statement, None, error, base, hide_parameters=True, dialect=dialect)


def _execute(cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
    """Only a transaction can be read-only for PostgreSQL; what has none is held to it here, as the dialect's own way to
    execute: with a listener SQLAlchemy takes longer over every statement."""
    if context is not None and _ONLY_SELECTS in context.execution_options and not statement.startswith("SELECT"):
        raise InvalidRequestError("This session is read-only.")
    cursor.execute(statement, parameters)


def _use_wal(connection: sqlite3.Connection, wait: float) -> None:
    """Change to the write-ahead log. SQLite refuses that at once, and does not wait, while others open a new file too."""
    deadline = time.monotonic() + wait
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _make_private(path: Path) -> None:
    """Make a SQLite file that only its owner can read; one that is there keeps the permissions it was given.

    Raises:
        ValueError: the file cannot be made there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            # The files that SQLite puts beside it are given its permissions.
            path.touch(mode=0o600)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}.") from None


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        raise ValueError("It is not a URL: write sqlite:////folder/rekomi.db or postgresql://user@host/name.") from None


def _with_driver(url: URL) -> URL:
    """Fill in the driver we ship, create a SQLite file's folder, and refuse what cannot work.

    Raises:
        ValueError: neither SQLite in a file nor PostgreSQL.
    """
    backend = url.get_backend_name()
    if backend == "sqlite":
        if url.database in (None, "", ":memory:") or url.database.startswith("file:"):
            raise ValueError("A SQLite store lives in a file: write sqlite:////folder/rekomi.db.")
        _make_private(Path(url.database))
        return url.set(drivername="sqlite")
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise ValueError(f"The store must be SQLite or PostgreSQL, not {backend}.")
