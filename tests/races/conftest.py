"""Stages for races and deaths: each on SQLite and on a real PostgreSQL, with the sandbox beside it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.acts import Wanted, poll, requests
from tests.support.damage import books_differ
from tests.support.deaths import Nursery
from tests.support.news import news_arrives
from tests.support.stage import Stage, new_stage
from tests.support.stripe_side import StripeSide, stripe_side

Prologue = Callable[[Stage], None]


@pytest.fixture(scope="session")
def nursery() -> Generator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="session")
def races_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("races")


@pytest.fixture(scope="session")
def stripe(races_folder: Path) -> Generator[StripeSide]:
    with stripe_side(races_folder) as stripe:
        yield stripe


@pytest.fixture(scope="session")
def stages(
    request: pytest.FixtureRequest, stripe: StripeSide, races_folder: Path
) -> Generator[Callable[[str, str], Stage]]:
    """Answers the stage of a database and a prologue, built when it is first asked for, put back each time."""
    built: dict[tuple[str, str], Stage] = {}
    with ExitStack() as stack:

        def stage(database: str, prologue: str) -> Stage:
            if (database, prologue) not in built:
                server: str | None = request.getfixturevalue("postgres") if database == "postgres" else None
                folder = races_folder / f"{database}-{prologue}"
                opened = new_stage(stripe, folder, server, PROLOGUES[prologue])
                built[database, prologue] = stack.enter_context(opened)
            built[database, prologue].restore()
            return built[database, prologue]

        yield stage


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def stage(stages: Callable[[str, str], Stage], database: str) -> Stage:
    """A brand with two affiliates, of whom one has a code."""
    return stages(database, "quiet")


@pytest.fixture
def duo(stages: Callable[[str, str], Stage]) -> Stage:
    """Sarah and Tom, each with a code, on SQLite."""
    return stages("sqlite", "two codes")


@pytest.fixture
def applicants(stages: Callable[[str, str], Stage], database: str) -> Stage:
    """The same, and somebody has applied."""
    return stages(database, "application")


@pytest.fixture
def shop(stages: Callable[[str, str], Stage], database: str) -> Stage:
    """The same, after customers have bought and received money back; the events of it wait in the inbox."""
    return stages(database, "sales")


@pytest.fixture
def unread_shop(stages: Callable[[str, str], Stage], database: str) -> Stage:
    """The same, but nobody has read the events yet."""
    return stages(database, "unread sales")


@pytest.fixture
def small_shop(stages: Callable[[str, str], Stage], database: str) -> Stage:
    """The same with fewer sales."""
    return stages(database, "few sales")


@pytest.fixture
def busy_shop(stages: Callable[[str, str], Stage], database: str) -> Stage:
    """The same with more sales than Stripe lists on one page; nobody has read their events yet."""
    return stages(database, "many sales")


@pytest.fixture
def full_inbox(stages: Callable[[str, str], Stage], database: str) -> Stage:
    """The same with everything that may come late: disputes, a credit note, codes switched, first sales."""
    return stages(database, "news")


@pytest.fixture
def other_books(stages: Callable[[str, str], Stage], database: str) -> Stage:
    """The same with sales that are missing here, have another amount than in Stripe, or were credited twice."""
    return stages(database, "other books")


def _nothing_happens(stage: Stage) -> None:
    """The cast alone."""


def _both_have_codes(stage: Stage) -> None:
    minted = {"affiliateId": stage.cast.tom, "code": "TOM20"}
    [reply] = stage.act(requests(Wanted(stage.cast.organization, "mint_affiliate_code", minted)))
    assert reply.code == "ok"


def _somebody_applies(stage: Stage) -> None:
    application = {"email": "kim@example.com", "fullName": "Kim", "status": "Pending"}
    [reply] = stage.act(requests(Wanted(stage.cast.organization, "create_affiliate", application)))
    assert reply.code == "ok"


def _customers_buy(stage: Stage) -> None:
    """Two subscriptions, two single payments and one without a code; refunds of a part, of all, and one that failed."""
    happen = stage.stripe.happen
    first = happen("checkout", amount=5000, code="SARAH20", email="kim@example.com", interval="month")
    second = happen("checkout", amount=9900, code="SARAH20", email="lou@example.com", interval="month", tax_percent=10)
    once = happen("checkout", amount=12000, code="sarah20", email="max@example.com")
    bounced = happen("checkout", amount=3000, code="SARAH20", email="ned@example.com")
    happen("checkout", amount=4000, email="nobody@example.com")
    happen("refund", invoice=second["invoice"], amount=2500)
    happen("refund", payment_intent=once["payment_intent"])
    refund = happen("refund", payment_intent=bounced["payment_intent"], amount=1000)
    happen(f"refunds/{refund['id']}/fail")
    happen("refund", invoice=first["invoice"], amount=1000)


def _customers_buy_and_we_hear_of_it(stage: Stage) -> None:
    _customers_buy(stage)
    stage.act(poll)


def _a_few_customers_buy(stage: Stage) -> None:
    happen = stage.stripe.happen
    happen("checkout", amount=5000, code="SARAH20", email="kim@example.com", interval="month")
    once = happen("checkout", amount=12000, code="SARAH20", email="max@example.com")
    happen("checkout", amount=3000, code="SARAH20", email="ned@example.com")
    happen("refund", payment_intent=once["payment_intent"], amount=2400)
    stage.act(poll)


def _many_customers_buy(stage: Stage) -> None:
    for number in range(26):
        stage.stripe.happen("checkout", amount=5000, email=f"customer-{number}@example.com", interval="month")


PROLOGUES: dict[str, Prologue] = {
    "quiet": _nothing_happens,
    "two codes": _both_have_codes,
    "application": _somebody_applies,
    "sales": _customers_buy_and_we_hear_of_it,
    "unread sales": _customers_buy,
    "few sales": _a_few_customers_buy,
    "many sales": _many_customers_buy,
    "news": news_arrives,
    "other books": books_differ,
}
