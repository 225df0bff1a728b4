"""Every order of two: the one runs whole at each boundary of the other, or finds what the other has left for good."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from rekomi_mcp.app import App
from rekomi_mcp.gateways.stripe import Endpoint, StripeGateway
from rekomi_mcp.storage.tables import (
    OutboundCallRow,
)
from tests.support.deaths import Act, watched_commits, watched_requests, watched_statements
from tests.support.stage import Stage
from tests.support.stripe_side import KEY


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
