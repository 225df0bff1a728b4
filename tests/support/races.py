"""What race and crash tests share: a brand on a running sandbox, both sides of it in one picture, and who may interrupt whom.

The sandbox runs in a thread of this process and is spoken to over loopback, by our server as Stripe, and by the tests as
the customers around it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx
import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from pydantic import SecretStr
from sqlmodel import Session, SQLModel, select
from starlette.applications import Starlette

import rekomi_mcp.storage as storage
from rekomi_mcp.app import App
from rekomi_mcp.domain.access import Operator, System
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.gateways.stripe import Endpoint, StripeGateway
from rekomi_mcp.pipeline import Call
from rekomi_mcp.sandbox.server import running_sandbox
from rekomi_mcp.settings import Settings
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.tables import (
    AffiliateCodeRow,
    AffiliateRow,
    AuditLineRow,
    BindingRow,
    CampaignCouponRow,
    ConversionRow,
    InboxEventRow,
    LedgerEntryRow,
    OutboundCallRow,
    SaleRow,
)
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.transports.webhooks import PATH, build_stripe_webhook
from rekomi_mcp.workers import inbox
from tests.support.callers import Reply
from tests.support.databases import PostgresSnapshot, create_database
from tests.support.deaths import Act, Job, Nursery, new_app, watched_commits, watched_requests, watched_statements
from tests.support.world import operate

KEY = "sk_test_sandbox_races"
PAST_EVERY_LEASE = timedelta(minutes=10)
"""The server restarts when the sweep may take up any call, and the inbox any event."""
WEBHOOK_SECRET = "whsec_of_the_tests"
STAGE = "stage"
"""What the tests' own connections to PostgreSQL are called, so that they are not taken for the server's."""

AnyRow = TypeVar("AnyRow", bound=SQLModel)
Picture = dict[str, Any]


class StripeSide:
    """The sandbox as the world sees it."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self._path = path
        self._http = httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=20)

    def coupons(self) -> list[dict[str, Any]]:
        return self._list("/v1/coupons")

    def promotion_codes(self) -> list[dict[str, Any]]:
        return self._list("/v1/promotion_codes")

    def events(self) -> list[dict[str, Any]]:
        """Newest first."""
        return self._list("/v1/events")

    def create(self, kind: str, **params: Any) -> dict[str, Any]:
        """Make an object as a person does in Stripe's dashboard."""
        return _json(self._http.post(f"/v1/{kind}", data=params))

    def happen(self, what: str, **details: Any) -> dict[str, Any]:
        """What happens outside the API: `checkout`, `refund`, `refunds/{id}/fail`, `renew`."""
        return _json(self._http.post(f"/sandbox/{what}", json=details))

    def keep(self, copy: Path) -> None:
        """Remember everything, in a file."""
        with closing(sqlite3.connect(self._path)) as now, closing(sqlite3.connect(copy)) as kept:
            now.backup(kept)

    def bring_back(self, copy: Path) -> None:
        """Make everything what it was, under the running sandbox."""
        with closing(sqlite3.connect(self._path, timeout=20, isolation_level=None)) as now:
            now.execute("ATTACH ? AS kept", (str(copy),))
            now.execute("BEGIN IMMEDIATE")
            for (table,) in now.execute("SELECT name FROM kept.sqlite_master WHERE type = 'table'").fetchall():
                now.execute(f"DELETE FROM main.{table}")
                now.execute(f"INSERT INTO main.{table} SELECT * FROM kept.{table}")
            now.execute("COMMIT")

    def close(self) -> None:
        self._http.close()

    def _list(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            params = {"limit": 100} | ({"starting_after": found[-1]["id"]} if found else {})
            page = _json(self._http.get(path, params=params))
            found += page["data"]
            if not page["has_more"]:
                return found


def _json(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    return answer.json()


@contextmanager
def stripe_side(folder: Path) -> Generator[StripeSide]:
    """A sandbox in a thread of its own, for as long as the block lasts."""
    path = folder / "sandbox.db"
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running_sandbox(path)) as running:
        stripe = StripeSide(running.url, path)
        try:
            yield stripe
        finally:
            stripe.close()


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
            return _all(session, table)


def _named(url: str) -> str:
    return f"{url}&application_name={STAGE}"


def _all(session: Session, table: type[AnyRow]) -> Sequence[AnyRow]:
    rows = session.exec(select(table)).all()
    session.expunge_all()
    return rows


def all_rows(url: str, table: type[AnyRow]) -> Sequence[AnyRow]:
    """The rows of a table of any database."""
    store = Store(url)
    try:
        with store.reading() as session:
            return _all(session, table)
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """A client's request, made by the organization itself."""

    organization: str
    operation: str
    arguments: dict[str, Any]
    key: str | None = None
    """The idempotency key."""


async def attempt(app: App, wanted: Wanted) -> Reply:
    """Make one request. An error that a client would see as a 500 reads `crashed: …`."""
    operation = CATALOGUE.get(wanted.operation)
    assert operation is not None, wanted.operation
    call = Call(
        operation=operation,
        credential=System(wanted.organization),
        arguments=wanted.arguments,
        idempotency_key=wanted.key,
    )
    try:
        answer = await app.pipeline.execute(call)
    except Refusal as refusal:
        return Reply(refusal.code, None)
    except Exception as error:  # noqa: BLE001 - told apart from refusals, and asserted on
        return Reply(f"crashed: {type(error).__name__}: {error}", None)
    return Reply("ok", answer.body, answer.replayed)


def requests(*wanted: Wanted) -> Act:
    """An act that makes these requests at once; it answers their replies in this order."""
    return partial(_make_requests, wanted)


async def _make_requests(wanted: Sequence[Wanted], app: App) -> list[Reply]:
    return await at_once(app, [partial(attempt, wanted=each) for each in wanted])


async def at_once(app: App, acts: Sequence[Act]) -> list[Any]:
    """Do several things in one server at the same moment; answers what each answered."""
    answers: list[Any] = [None] * len(acts)

    async def do(index: int) -> None:
        answers[index] = await acts[index](app)

    async with anyio.create_task_group() as group:
        for index in range(len(acts)):
            group.start_soon(do, index)
    return answers


def crowd(nursery: Nursery, stage: Stage, wanted: Sequence[Wanted], processes: int) -> list[Reply]:
    """Everybody's reply, in order, when all ask at once: of one server, or of several that share the database."""
    if processes == 1:
        return stage.act(requests(*wanted))
    lives = nursery.live_together(
        [live_job(stage, requests(*wanted[number::processes])) for number in range(processes)]
    )
    assert [life.error for life in lives] == [None] * processes
    return [lives[number % processes].value[number // processes] for number in range(len(wanted))]


in_one_and_several = pytest.mark.parametrize("processes", [1, 3], ids=["one_process", "several_processes"])


async def finish_everything(app: App) -> None:
    """What the background does, until there is nothing left to do now."""
    while await app.pipeline.sweep_outbound():
        pass
    await app.inbox.work_off()


async def sweep(app: App) -> int:
    return await app.pipeline.sweep_outbound()


async def work_off(app: App) -> int:
    return await app.inbox.work_off()


async def poll(app: App) -> int:
    return await app.poller.poll()


async def work_off_by_threes(app: App) -> int:
    """In batches so small that there are several, and a death can fall between them. For a process of its own."""
    inbox.BATCH = 3
    return await app.inbox.work_off()


def _signed(event: dict[str, Any]) -> tuple[bytes, str]:
    """An event's body, and the header Stripe sends with it."""
    body, now = json.dumps(event).encode(), int(time.time())
    signature = hmac.new(WEBHOOK_SECRET.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return body, f"t={now},v1={signature}"


async def deliver(events: Sequence[dict[str, Any]], app: App) -> list[bool]:
    """What Stripe does with a webhook endpoint; answers for each event whether it was new."""
    route = build_stripe_webhook(app.open_store, [WEBHOOK_SECRET], app.clock, False, lambda: None)
    answers: list[bool] = []
    server = httpx.ASGITransport(Starlette(routes=[route]))
    async with httpx.AsyncClient(transport=server, base_url="http://localhost") as http:
        for event in events:
            body, signature = _signed(event)
            answer = await http.post(PATH, content=body, headers={"stripe-signature": signature})
            answers.append(_json(answer)["new"])
    return answers


def picture(stage: Stage) -> Picture:
    """Both sides without ids: two runs that did the same look the same."""
    with stage.reading() as session:
        names = {row.id: row.full_name for row in _all(session, AffiliateRow)}
        coupons = _all(session, CampaignCouponRow)
        codes = _all(session, AffiliateCodeRow)
        sales = {row.id: row for row in _all(session, SaleRow)}
        conversions = _all(session, ConversionRow)
        entries = _all(session, LedgerEntryRow)
        return {
            "coupons": sorted((row.name, row.status) for row in coupons),
            "codes": sorted((names[row.affiliate_id], row.code, row.status) for row in codes),
            "coupons in Stripe": sorted(each["name"] for each in stage.stripe.coupons()),
            "codes in Stripe": sorted((each["code"], each["active"]) for each in stage.stripe.promotion_codes()),
            "sales": sorted((row.source_id, row.net_minor, row.outcome) for row in sales.values()),
            "conversions": sorted(
                (
                    sales[row.sale_id].source_id,
                    names[row.affiliate_id],
                    row.commission_minor,
                    row.remaining_minor,
                    row.state,
                )
                for row in conversions
            ),
            "balances": _balances(entries, names),
            "bound": sorted((row.kind, row.ref, names[row.affiliate_id]) for row in _all(session, BindingRow)),
            "inbox": dict(Counter(row.state for row in _all(session, InboxEventRow))),
            "done": sorted(row.action for row in _all(session, AuditLineRow) if row.outcome == "ok"),
        }


def _balances(entries: Sequence[LedgerEntryRow], names: dict[str, str]) -> dict[tuple[str, str], int]:
    """What the ledger adds up to, by affiliate's name and currency."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        sums[names[entry.affiliate_id], entry.currency] += entry.amount_minor
    return dict(sums)


def done(stage: Stage, action: str) -> int:
    """How often the audit log says that this was done."""
    return sum((row.action, row.outcome) == (action, "ok") for row in stage.rows(AuditLineRow))


def check_whole(stage: Stage) -> None:
    """What holds whenever nothing is under way: the two sides agree, nothing waits, and the books are whole."""
    with stage.reading() as session:
        check_books(session, stage.cast.organization)
        coupons = {row.id: row for row in _all(session, CampaignCouponRow)}
        codes = {row.id: row for row in _all(session, AffiliateCodeRow)}
        assert [row for row in _all(session, OutboundCallRow) if row.state == "pending"] == []
    here = {(row.id, row.stripe_coupon_id) for row in coupons.values() if row.status != "Archived"}
    there = {(each["metadata"].get("rekomi_campaign_coupon_id"), each["id"]) for each in stage.stripe.coupons()}
    assert there == here
    assert all(row.status in ("Active", "Archived") for row in coupons.values())

    made = [each for each in stage.stripe.promotion_codes() if "rekomi_affiliate_coupon_id" in each["metadata"]]
    here = {(row.id, row.stripe_promotion_code_id, row.code, row.status == "Active") for row in codes.values()}
    there = [(p["metadata"]["rekomi_affiliate_coupon_id"], p["id"], p["code"], p["active"]) for p in made]
    assert sorted(there) == sorted(here, key=str)
    assert all(row.status in ("Active", "Inactive") for row in codes.values())
    archived = {row.id for row in coupons.values() if row.status == "Archived"}
    assert [row.code for row in codes.values() if row.campaign_coupon_id in archived and row.status == "Active"] == []


def check_books(session: Session, organization: str) -> None:
    """The audit chain holds, and every conversion's remaining commission is the sum of its ledger entries."""
    assert storage.audit.verify_chain(session, organization).broken_at is None
    sums: dict[str, int] = defaultdict(int)
    for entry in _all(session, LedgerEntryRow):
        sums[entry.conversion_id] += entry.amount_minor
    assert {row.id: row.remaining_minor for row in _all(session, ConversionRow)} == dict(sums)


class Interruption:
    """One run of two acts, the second whole at one boundary of the first."""

    def __init__(self, boundary: str, first: InThread, second: InThread) -> None:
        self.boundary = boundary
        self._first, self._second = first, second

    @property
    def first(self) -> Any:
        """What the first act answered; raises what it raised."""
        return self._first.value()

    @property
    def second(self) -> Any:
        return self._second.value()

    def check(self) -> None:
        """Neither has raised."""
        self._first.value()
        self._second.value()


def interruptions(
    stage: Stage,
    first: Act,
    second: Act,
    *,
    prologue: Callable[[], None] = lambda: None,
    later: timedelta = timedelta(0),
    first_later: timedelta = timedelta(0),
) -> Iterator[Interruption]:
    """Run `first` until its n-th boundary, run `second` there, then the rest of `first`; for every n there is.

    The boundaries are: before and after each commit and each request to Stripe, and before each statement (on SQLite,
    where nobody else gets in between the statements of a writer, before each transaction). Where `second` waits for a lock
    that `first` holds, `first` goes on.

    Args:
        prologue: what happened before, each time on the restored stage.
        later: how far the clock of `second` is ahead; `first_later` that of `first`.
    """
    for number in range(1000):
        stage.restore()
        prologue()
        run = _Interrupted(stage, first, first_later, number)
        boundary = run.wait()
        if boundary is None:
            return
        other = InThread(lambda: stage.act(second, later))
        while not (other.ended(0.005) or stage.somebody_waits()):
            pass
        one = run.go_on()
        assert one.ended(30) and other.ended(30), f"{boundary}: the two wait for each other"
        yield Interruption(boundary, one, other)


class InThread:
    """Something that runs in a thread of its own."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._work()
        except BaseException as error:  # noqa: BLE001 - raised where the value is asked for
            self._error = error

    def ended(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def value(self) -> Any:
        """What it answered; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._value


class _Interrupted:
    """An act that stops at its n-th boundary until told to go on."""

    def __init__(self, stage: Stage, act: Act, later: timedelta, number: int) -> None:
        self._stage, self._act, self._later, self._number = stage, act, later, number
        self._passed = 0
        self._boundary: str | None = None
        self._stopped, self._may_go_on = threading.Event(), threading.Event()
        self._running = InThread(self._run)

    def _run(self) -> Any:
        async def watched(app: App) -> Any:
            store, notice = app.open_store(), self._notice
            with watched_statements(store, notice), watched_commits(store, notice), watched_requests(notice):
                return await self._act(app)

        return self._stage.act(watched, self._later, self._stage.other_store)

    def _notice(self, boundary: str) -> None:
        if self._stage.is_sqlite and boundary == "before commit":
            return  # The one writer is inside its transaction: the other could only wait.
        self._passed += 1
        if self._passed - 1 == self._number:
            self._boundary = boundary
            self._stopped.set()
            assert self._may_go_on.wait(30)

    def wait(self) -> str | None:
        """Where it has stopped; None when it came through."""
        while not self._stopped.wait(0.005):
            if self._running.ended(0):
                self._running.value()
                return self._boundary
        return self._boundary

    def go_on(self) -> InThread:
        self._may_go_on.set()
        return self._running


class Deserted(BaseException):
    """Nothing in the product catches it: everything stays as a death would leave it."""


def deserting(act: Act, where: str) -> Act:
    """An act that is left for good at the first request to Stripe that fits: `before POST`, `after DELETE`.

    Cheaper than a death, and no transaction is open at a request.
    """

    async def until_there(app: App) -> None:
        left: list[str] = []

        def notice(boundary: str) -> None:
            if boundary.startswith(where):
                left.append(boundary)
                raise Deserted

        try:
            with watched_requests(notice):
                await act(app)
        except BaseException:
            if not left:
                raise

    return until_there


def desert(stage: Stage, act: Act, where: str) -> None:
    """Let a server begin something and leave it."""
    stage.act(deserting(act, where))
    assert [row for row in stage.rows(OutboundCallRow) if row.state == "pending"], f"no request fits {where}"


def unreachable(act: Act) -> Act:
    """The same in a server that finds nobody where Stripe should be."""

    async def nowhere() -> Endpoint:
        return Endpoint(KEY, "http://127.0.0.1:9")

    async def in_the_dark(app: App) -> Any:
        app.stripe = StripeGateway(nowhere, 1.0)
        return await act(app)

    return in_the_dark


def live_job(stage: Stage, act: Act, later: timedelta = timedelta(0), die_at: int | None = None) -> Job:
    """The act as a process on this stage."""
    return Job(stage.settings, act, later, die_at)
