"""What servers do in the tests of races and deaths: answer requests, alone or many at once, and what the background does."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.pipeline import Call
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.transports.webhooks import PATH, build_stripe_webhook
from rekomi_mcp.workers import inbox
from tests.support.callers import Reply
from tests.support.deaths import Act, Job, Nursery

if TYPE_CHECKING:
    from tests.support.stage import Stage
from tests.support.stripe_side import json_of

WEBHOOK_SECRET = "whsec_of_the_tests"


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
            answers.append(json_of(answer)["new"])
    return answers


async def work_off_by_tens(app: App) -> int:
    inbox.BATCH = 10
    return await app.inbox.work_off()


def live_job(
    stage: Stage, act: Act, later: timedelta = timedelta(0), die_at: int | None = None, statements: bool = False
) -> Job:
    """The act as a process on this stage."""
    return Job(stage.settings, act, later, die_at, statements)


def deaths(
    nursery: Nursery,
    stage: Stage,
    act: Act,
    *,
    prologue: Callable[[], None] = lambda: None,
    later: timedelta = timedelta(0),
    which: Callable[[], bool] = lambda: True,
    statements_by: int = 0,
) -> Iterator[str]:
    """Let a process die at each boundary of an act, on the restored stage; answers the boundary.

    Args:
        statements_by: when not 0, statements are boundaries too, and of all boundaries every so-manieth is taken.
        later: how far the clock of the one who dies is ahead.
        which: whether what the death has left is of interest.
    """
    answered = False
    for number in itertools.count(step=max(statements_by, 1)):
        stage.restore()
        prologue()
        life = nursery.live(live_job(stage, act, later, die_at=number, statements=statements_by > 0))
        assert life.error is None
        if not life.died:
            assert answered, "no death was of interest"
            return
        stage.wait_until_alone()
        if which():
            answered = True
            yield f"{number}: {life.boundaries[-1]}"
