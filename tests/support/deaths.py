"""Processes that do one job each and may be told to die on the way: at any commit, at any request to Stripe.

No hook in the product is needed. What is watched is what every database transaction and every request passes anyway: the
dialect's commit and httpx's send. A nursery is a process that has imported everything and opened nothing; it forks, so a
child is there in milliseconds and finds neither threads nor connections of others.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

import anyio
import httpx
from sqlalchemy import event

from rekomi_mcp.app import App
from rekomi_mcp.settings import Settings

if TYPE_CHECKING:
    from rekomi_mcp.storage.engine import Store

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60
"""No job takes a tenth of it; a child that does hangs, and is ended."""

READY = "ready"

Notice = Callable[[str], None]
"""Told which boundary has been reached, in the thread that has reached it."""
Act = Callable[[App], Awaitable[Any]]
"""What to do with a running app. To be done in another process it must be found by name."""
Pipes = Connection  # pyright: ignore[reportMissingTypeArgument]


def new_app(settings: Settings, later: timedelta = timedelta(0)) -> App:
    """A fresh app, as after a restart, whose clock is ahead."""
    app = App(settings)
    app.__dict__["clock"] = lambda: datetime.now(UTC) + later
    return app


class _Requests:
    """Who wants to know of the requests of which thread; httpx is patched for as long as anybody does."""

    def __init__(self) -> None:
        self._notices: dict[int, Notice] = {}
        self._lock = threading.Lock()
        self._send = httpx.AsyncClient.send

    def watch(self, thread: int, notice: Notice) -> None:
        with self._lock:
            self._notices[thread] = notice
            setattr(httpx.AsyncClient, "send", self._watched())  # noqa: B010 - a method, assigned

    def leave(self, thread: int) -> None:
        with self._lock:
            del self._notices[thread]
            if not self._notices:
                setattr(httpx.AsyncClient, "send", self._send)  # noqa: B010

    def _watched(self) -> Any:
        async def send(client: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
            notice = self._notices.get(threading.get_ident())
            if notice is None or not request.url.path.startswith("/v1/"):
                return await self._send(client, request, **options)
            notice(f"before {request.method} {request.url.path}")
            response = await self._send(client, request, **options)
            notice(f"after {request.method} {request.url.path}")
            return response

        return send


_requests = _Requests()


@contextmanager
def watched_requests(notice: Notice) -> Generator[None]:
    """Notice every request to Stripe of this thread, before it is sent and after its answer has been read."""
    thread = threading.get_ident()
    _requests.watch(thread, notice)
    try:
        yield
    finally:
        _requests.leave(thread)


@contextmanager
def watched_commits(store: Store, notice: Notice) -> Generator[None]:
    """Notice the commits of a store's writing transactions; a reading one leaves nothing to lose."""
    dialect: Any = store.engine.dialect
    commit = dialect.do_commit

    def watched(connection: Any) -> None:
        if getattr(connection.dbapi_connection, "read_only", False):
            commit(connection)
            return
        notice("before commit")
        commit(connection)
        notice("after commit")

    with patch.object(dialect, "do_commit", watched):
        yield


@contextmanager
def watched_statements(store: Store, notice: Notice) -> Generator[None]:
    """Notice the statements of writing transactions; on SQLite, where one writer keeps all others out, their beginnings."""

    def is_taken(*connection: Any) -> None:
        notice("before BEGIN")

    if not store.is_sqlite:
        with _every_statement(store, notice):
            yield
        return
    event.listen(store.engine, "checkout", is_taken)
    try:
        yield
    finally:
        event.remove(store.engine, "checkout", is_taken)


@contextmanager
def _every_statement(store: Store, notice: Notice) -> Generator[None]:
    def executes(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if not connection.get_execution_options().get("postgresql_readonly"):
            notice(f"before {' '.join(statement.split())[:60]}")

    event.listen(store.engine, "before_cursor_execute", executes)
    try:
        yield
    finally:
        event.remove(store.engine, "before_cursor_execute", executes)


@dataclass(frozen=True, slots=True)
class Job:
    """One life of one process."""

    settings: Settings
    act: Act
    later: timedelta = timedelta(0)
    """How far its clock is ahead."""
    die_at: int | None = None
    """The boundary to die at, counted from 0; None to live."""
    statements: bool = False
    """Whether each statement of a writing transaction is a boundary too."""


@dataclass(frozen=True, slots=True)
class Life:
    """How a job went."""

    boundaries: list[str] = field(default_factory=list[str])
    """What it passed, the last one being where it died, if it did."""
    died: bool = False
    value: Any = None
    """What the act answered."""
    error: str | None = None
    """The traceback of an act that raised."""


class Nursery:
    """A process that bears processes. Everything of it ends with the `with` block."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        code = f"from tests.support.deaths import serve; serve({theirs.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
        )
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.wait(PATIENCE_SECONDS)

    def live(self, job: Job) -> Life:
        [life] = self.live_together([job])
        return life

    def live_together(self, jobs: Sequence[Job]) -> list[Life]:
        """Do the jobs at the same moment, each in a process of its own that has everything open before it starts."""
        self._pipe.send(list(jobs))
        lives: list[Life] = self._pipe.recv()
        return lives


def serve(file_number: int) -> None:
    """Bear children until the other end is closed. Runs in the nursery."""
    _warm_up()
    commands: Pipes = Connection(file_number)
    while True:
        try:
            jobs = commands.recv()
        except EOFError:
            return
        commands.send(_live_together(jobs))


def _warm_up() -> None:
    """Do once what every child would otherwise import and prepare for itself; and leave nothing running."""
    from sqlalchemy.dialects.postgresql import psycopg

    from rekomi_mcp.transports import webhooks
    from tests.support import stage

    with tempfile.TemporaryDirectory() as folder:
        anyio.run(stage.rehearse, Path(folder))
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(PATIENCE_SECONDS)
    gc.freeze()
    _ = psycopg, webhooks


def _live_together(jobs: Sequence[Job]) -> list[Life]:
    children = [_bear(job) for job in jobs]
    first = [_heard(pipe) for _, pipe in children]
    for word, (_, pipe) in zip(first, children, strict=True):
        if word == READY:
            pipe.send("go")
    lives = [_heard(pipe) if word == READY else word for word, (_, pipe) in zip(first, children, strict=True)]
    for child, pipe in children:
        os.waitpid(child, 0)
        pipe.close()
    return lives


def _heard(pipe: Pipes) -> Any:
    """The next word of a child: that it is ready, or how its life went."""
    try:
        return pipe.recv()
    except (EOFError, ConnectionResetError):
        return Life(error="the process ended without a word")


def _bear(job: Job) -> tuple[int, Pipes]:
    ours, theirs = Pipe()
    child = os.fork()
    if child:
        theirs.close()
        return child, ours
    try:
        signal.alarm(PATIENCE_SECONDS)
        ours.close()
        _live(job, theirs)
    finally:
        os._exit(0)


def _live(job: Job, pipe: Pipes) -> None:
    boundaries: list[str] = []

    def notice(boundary: str) -> None:
        boundaries.append(boundary)
        if len(boundaries) - 1 == job.die_at:
            pipe.send(Life(boundaries, died=True))
            os._exit(1)

    async def run() -> Any:
        app = new_app(job.settings, job.later)
        async with app.running():
            store = app.open_store()
            await app.stripe.client()
            pipe.send(READY)
            pipe.recv()
            with watched_commits(store, notice), watched_requests(notice), ExitStack() as stack:
                if job.statements:
                    stack.enter_context(_every_statement(store, notice))
                return await job.act(app)

    try:
        life = Life(boundaries, value=anyio.run(run))
    except BaseException:  # noqa: BLE001 - told to whoever asked for this life
        life = Life(boundaries, error=traceback.format_exc())
    pipe.send(life)
