"""A brand on a database and a running sandbox, both of which can be put back to what they were."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import anyio
import psycopg
from pydantic import SecretStr
from sqlmodel import Session, SQLModel, select

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import Operator, System
from rekomi_mcp.sandbox.server import running_sandbox
from rekomi_mcp.settings import Settings
from rekomi_mcp.storage.engine import Store
from tests.support.acts import finish_everything
from tests.support.databases import PostgresSnapshot, create_database
from tests.support.deaths import Act, new_app
from tests.support.stripe_side import KEY, StripeSide
from tests.support.world import operate

PAST_EVERY_LEASE = timedelta(minutes=10)
"""The server restarts when the sweep may take up any call, and the inbox any event."""
STAGE = "stage"
"""What the tests' own connections to PostgreSQL are called, so that they are not taken for the server's."""

AnyRow = TypeVar("AnyRow", bound=SQLModel)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who and what is on the stage from the beginning, by id. Stripe knows the coupon and the code."""

    organization: str
    program: str
    """20 % of every payment."""
    sarah: str
    """Has the code SARAH20."""
    tom: str
    """Has none."""
    coupon: str
    """20 % off once."""
    code: str


class Stage:
    """A database and the sandbox, which can both be put back to what they were when `keep` was called."""

    cast: Cast

    def __init__(self, stripe: StripeSide, folder: Path, server: str | None) -> None:
        """`server` is the URL of a PostgreSQL server; None for SQLite."""
        self.stripe = stripe
        self._folder = folder
        self._file = folder / "store.db"
        self.url = create_database(server) if server else f"sqlite:///{self._file}"
        self.is_sqlite = server is None
        self._snapshot: PostgresSnapshot | None = None
        self._monitor = None if server is None else psycopg.connect(_named(self.url), autocommit=True)
        self.store, self.other_store = Store(self.url), Store(self.url)
        self._view = Store(self.url if self.is_sqlite else _named(self.url))
        self.settings = Settings(
            database_url=self.url, data_dir=folder, stripe_api_base=stripe.url, stripe_secret_key=SecretStr(KEY)
        )

    def close(self) -> None:
        for connection in (self._snapshot, self._monitor, self.store, self.other_store, self._view):
            if connection is not None:
                connection.close()

    def act(self, act: Act, later: timedelta = timedelta(0), store: Store | None = None) -> Any:
        """Start a server, do this, stop it.

        Args:
            store: what it uses as its store; `other_store` when two run at once. All servers of this process share
                these two, which a stopped server leaves without connections: making a new one would take most of the time.
        """

        async def run() -> Any:
            app = new_app(self.settings, later)
            app.__dict__["_store"] = store or self.store
            async with app.running():
                return await act(app)

        return anyio.run(run)

    def restart(self, later: timedelta = PAST_EVERY_LEASE) -> None:
        """The server comes up again and does what it does in the background, once."""
        self.wait_until_alone()
        self.act(finish_everything, later)

    def wait_until_alone(self) -> None:
        """PostgreSQL notices a moment later that a client is dead, and holds its locks until then."""
        if self._monitor is None:
            return
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name <> %s"
        deadline = time.monotonic() + 10
        while self._ask(query, STAGE):
            assert time.monotonic() < deadline, "somebody is still connected to the database"
            time.sleep(0.002)

    def somebody_waits(self) -> bool:
        """Whether a transaction waits for another's lock. (On SQLite it would wait for the one writer.)"""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = %s"
        return self._monitor is not None and bool(self._ask(query, "Lock"))

    def _ask(self, query: str, value: str) -> int:
        assert self._monitor is not None
        row = self._monitor.execute(query.encode(), (value,)).fetchone()
        return int(row[0]) if row else 0

    def keep(self) -> None:
        """What is now is what `restore` brings back."""
        self.wait_until_alone()
        self.stripe.keep(self._folder / "sandbox.kept")
        if self.is_sqlite:
            with closing(sqlite3.connect(self._file)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copyfile(self._file, self._folder / "store.kept")
        else:
            assert self._snapshot is None, "kept already"
            self._snapshot = PostgresSnapshot(_named(self.url))

    def restore(self) -> None:
        self.wait_until_alone()
        self.stripe.bring_back(self._folder / "sandbox.kept")
        if self._snapshot is not None:
            self._snapshot.restore()
            return
        for left in self._folder.glob("store.db*"):
            left.unlink()
        shutil.copyfile(self._folder / "store.kept", self._file)

    @contextmanager
    def reading(self) -> Generator[Session]:
        with self._view.reading() as session:
            yield session
        self._let_go()

    @contextmanager
    def writing(self) -> Generator[Session]:
        with self._view.writing() as session:
            yield session
        self._let_go()

    def _let_go(self) -> None:
        """A SQLite file must not be open when it is put back."""
        if self.is_sqlite:
            self._view.close()

    def rows(self, table: type[AnyRow]) -> Sequence[AnyRow]:
        with self.reading() as session:
            return rows_of(session, table)


def _named(url: str) -> str:
    return f"{url}&application_name={STAGE}"


def rows_of(session: Session, table: type[AnyRow]) -> Sequence[AnyRow]:
    rows = session.exec(select(table)).all()
    session.expunge_all()
    return rows


def all_rows(url: str, table: type[AnyRow]) -> Sequence[AnyRow]:
    """The rows of a table of any database."""
    store = Store(url)
    try:
        with store.reading() as session:
            return rows_of(session, table)
    finally:
        store.close()


@contextmanager
def new_stage(
    stripe: StripeSide, folder: Path, server: str | None, prologue: Callable[[Stage], None]
) -> Generator[Stage]:
    """A stage with its cast, as the prologue leaves it."""
    folder.mkdir()
    stripe.happen("reset")
    stage = Stage(stripe, folder, server)
    try:
        App(stage.settings).open_store().close()
        stage.cast = stage.act(_cast)
        prologue(stage)
        stage.keep()
        yield stage
    finally:
        stage.close()


@dataclass(frozen=True, slots=True)
class Founders:
    """An organization with a program of 20 % and two affiliates, by id."""

    organization: str
    program: str
    sarah: str
    tom: str


async def new_organization(app: App) -> Founders:
    organization = (await operate(app, "create_organization", {"name": "Acme"}, Operator()))["id"]
    terms = {"name": "Creators", "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
    program = await _make(app, organization, "create_program", **terms)
    sarah = await _make(app, organization, "create_affiliate", email="sarah@example.com", fullName="Sarah Lee")
    tom = await _make(app, organization, "create_affiliate", email="tom@example.com", fullName="Tom Ray")
    return Founders(organization, program, sarah, tom)


async def _cast(app: App) -> Cast:
    founders = await new_organization(app)
    coupon = await _make(app, founders.organization, "create_campaign_coupon", name="20 off", discountValue=20)
    code = await _make(app, founders.organization, "mint_affiliate_code", affiliateId=founders.sarah, code="SARAH20")
    return Cast(founders.organization, founders.program, founders.sarah, founders.tom, coupon, code)


async def rehearse(folder: Path) -> None:
    """Everything once, in a folder of its own."""
    async with running_sandbox(folder / "sandbox.db") as sandbox:
        app = new_app(Settings(data_dir=folder, stripe_api_base=sandbox.url, stripe_secret_key=SecretStr(KEY)))
        async with app.running():
            await _cast(app)
            await app.poller.poll()
            await finish_everything(app)


async def _make(app: App, organization: str, operation: str, **arguments: Any) -> str:
    """Do it as the organization itself; answers the id of what was made."""
    return (await operate(app, operation, arguments, System(organization)))["id"]
