"""The same news in any order, in any batches and any number of times ends in the same books."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from rekomi_mcp.app import App
from rekomi_mcp.domain.sales import (
    Fact,
    Payment,
    Reversal,
    ReversalKind,
    ReversalStatus,
    Sale,
    SaleReference,
    SaleSource,
    SubscriptionEnded,
    SubscriptionStarted,
)
from rekomi_mcp.storage.tables import AffiliateCodeRow, ProgramRow
from tests.support.pictures import Picture, check_books, picture
from tests.support.stage import Stage
from tests.support.terms_watch import as_if_always
from tests.support.world import sale, sell

Event = tuple[Fact, ...]
"""What one event says; all its facts carry its id."""
START = datetime(2026, 3, 1, tzinfo=UTC)
BOOKS = ("sales", "conversions", "balances", "bound", "inbox")


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def refund(name: str, event: str, number: int, amount: int, payment: str, status: str = "succeeded") -> Reversal:
    return Reversal(
        id=f"re_{name}",
        kind=ReversalKind.Refund,
        event_id=f"evt_{event}",
        occurred_at=day(number),
        currency="USD",
        amount_minor=amount,
        status=ReversalStatus(status),
        payment_intent_id=f"pi_{payment}",
        charge_id=None,
    )


def dispute(payment: str, event: str, number: int, status: str) -> Reversal:
    return Reversal(
        id=f"dp_{payment}",
        kind=ReversalKind.Dispute,
        event_id=f"evt_{event}",
        occurred_at=day(number),
        currency="USD",
        amount_minor=4400,
        status=ReversalStatus(status),
        payment_intent_id=f"pi_{payment}",
        told_at=day(number),
    )


def history(sarah: str, tom: str) -> list[Event]:
    """A month or two of a small brand; `sarah` and `tom` are promotion codes."""

    def paid(name: str, number: int, *, event: str = "", **more: Any) -> Sale:
        event_id = f"evt_{event or name}"
        return sale(f"in_{name}", event_id=event_id, at=day(number), **more)

    kim = {"customer_id": "cus_kim", "subscription_id": "sub_kim"}
    lou = {"customer_id": "cus_lou", "subscription_id": "sub_lou"}
    first: dict[str, Any] = {"codes": (sarah,), "payments": (Payment("pi_kim1"),), **kim}
    ned: dict[str, Any] = {"customer_id": "cus_ned", "payments": (Payment("pi_ned"),)}
    at_checkout: dict[str, Any] = {
        "source": SaleSource.CheckoutSession,
        "currency": "EUR",
        "codes": (tom,),
        "payments": (Payment("pi_max"),),
    }
    return [
        # Kim's subscription with Sarah's code: told by two events, renewed twice, cancelled.
        (SubscriptionStarted("sub_kim", "cus_kim", "evt_begun", day(0), (sarah,)),),
        (paid("kim1", 0, **first),),
        (paid("kim1", 0, event="kim1_succeeded", **first),),
        (paid("kim2", 30, **kim),),
        (paid("kim3", 60, **kim),),
        (SubscriptionEnded("sub_kim", "evt_over", day(80)),),
        # Two parts of the first payment go back, and a third bounces.
        (refund("a", "a", 3, 1000, "kim1"),),
        (refund("b", "b", 4, 700, "kim1", "pending"),),
        (refund("b", "b_done", 4, 700, "kim1"),),
        (refund("c", "c", 5, 2000, "kim1"),),
        (refund("c", "c_failed", 5, 2000, "kim1", "failed"),),
        # All of the second renewal goes back. Its invoice does not say what paid it, so the refund says what it paid.
        (SaleReference("pi_kim3", SaleSource.Invoice, "in_kim3", "evt_d"), refund("d", "d", 62, 4400, "kim3")),
        # Lou tries for nothing with Tom's code, and then pays.
        (paid("lou1", 1, net=0, gross=0, codes=(tom,), customer_email="lou@example.com", **lou),),
        (paid("lou2", 15, net=3000, gross=3300, **lou),),
        # Max pays once with Tom's code, in euros, and half goes back.
        (sale("cs_max", event_id="evt_max", at=day(7), **at_checkout),),
        (replace(refund("max", "max_refund", 9, 2200, "max"), currency="EUR"),),
        # Ned typed Sarah's code at the checkout; the invoice does not repeat it.
        (paid("ned", 8, **ned),),
        (paid("ned", 8, event="ned_checkout", codes=(sarah,), **ned),),
        (refund("ned", "ned_refund", 10, 1100, "ned"),),
        # Ola buys with Tom's code, and later without one: Tom's customer, also by a third purchase with Sarah's code.
        (paid("ola1", 13, codes=(tom,), customer_id="cus_ola", payments=(Payment("pi_ola1"),)),),
        (paid("ola2", 20, codes=(sarah,), customer_id="cus_ola", payments=(Payment("pi_ola2"),)),),
        (paid("ola3", 21, customer_id="cus_ola"),),
        # Her bank takes the first payment back; the second is disputed too, and won.
        (dispute("ola1", "d1", 25, "pending"),),
        (dispute("ola1", "d1_open", 26, "open"),),
        (dispute("ola1", "d1_lost", 40, "succeeded"),),
        (dispute("ola2", "d2_open", 26, "open"),),
        (dispute("ola2", "d2_won", 41, "failed"),),
        # Somebody came by himself.
        (paid("nobody", 11, customer_id="cus_nobody", payments=(Payment("pi_nobody"),)),),
        (refund("nobody", "nobody_refund", 12, 4400, "nobody"),),
    ]


def renamed(event: Event, number: int) -> Event:
    """The same news under another event id."""
    return tuple(replace(fact, event_id=f"{fact.event_id}_again_{number}") for fact in event)


@st.composite
def deliveries(draw: st.DrawFn, told: list[Event]) -> list[list[Event]]:
    """Batches that bring every event, some of them again, under the same id or another."""
    sent = list(draw(st.permutations(told)))
    for number in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(sent) - 1))
        again = sent[place] if draw(st.booleans()) else renamed(sent[place], number)
        sent.insert(draw(st.integers(place + 1, len(sent))), again)
    cuts = sorted(draw(st.sets(st.integers(1, len(sent) - 1))))
    return [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]


def books_after(stage: Stage, batches: Sequence[Sequence[Event]]) -> Picture:
    """What the books say when these batches have come in, one after the other, on the restored stage."""
    stage.restore()
    return books_now(stage, batches)


def books_now(stage: Stage, batches: Sequence[Sequence[Event]]) -> Picture:
    """The same on the stage as it is."""

    async def ingest(app: App) -> None:
        for batch in batches:
            await sell(app, stage.cast.organization, *(fact for event in batch for fact in event))

    stage.act(ingest)
    with stage.reading() as session:
        check_books(session, stage.cast.organization)
    whole = picture(stage)
    assert whole["inbox"].keys() == {"done"}
    return {name: whole[name] for name in BOOKS if name != "inbox"}


def promotion_codes(stage: Stage) -> tuple[str, str]:
    """Sarah's and Tom's."""
    codes = {row.code: str(row.stripe_promotion_code_id) for row in stage.rows(AffiliateCodeRow)}
    return codes["SARAH20"], codes["TOM20"]


def test_the_history_in_its_own_order_comes_to_what_it_should(duo: Stage) -> None:
    """The reference of the other tests, in numbers a person can check: 20 % of what was kept."""
    told = history(*promotion_codes(duo))
    books = books_after(duo, [[event] for event in told])
    assert books["conversions"] == [
        ("cs_max", "Tom Ray", 800, 400, "Open"),
        ("in_kim1", "Sarah Lee", 800, 491, "Open"),  # 800 x 2700 / 4400
        ("in_kim2", "Sarah Lee", 800, 800, "Open"),
        ("in_kim3", "Sarah Lee", 800, 0, "Refunded"),
        ("in_lou2", "Tom Ray", 600, 600, "Open"),
        ("in_ned", "Sarah Lee", 800, 600, "Open"),
        ("in_ola1", "Tom Ray", 800, 0, "Refunded"),
        ("in_ola2", "Sarah Lee", 800, 800, "Open"),
        ("in_ola3", "Tom Ray", 800, 800, "Open"),
    ]
    assert books["balances"] == {("Sarah Lee", "USD"): 2691, ("Tom Ray", "USD"): 1400, ("Tom Ray", "EUR"): 400}
    outcomes = {source_id: outcome for source_id, _, outcome in books["sales"]}
    assert (outcomes["in_nobody"], outcomes["in_lou1"]) == ("no_claim", "free")


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_order_any_batches_and_any_repetition_come_to_the_same(duo: Stage, data: st.DataObject) -> None:
    told = history(*promotion_codes(duo))
    expected = books_after(duo, [told])
    assert books_after(duo, data.draw(deliveries(told))) == expected


@pytest.mark.parametrize(
    ("months", "delay", "earning"), [(1, 0, [0, 1]), (0, 0, [0]), (1, 1, [1, 2]), (None, 2, [2, 3])]
)
def test_renewals_are_counted_in_the_order_in_which_they_were_paid(
    duo: Stage, months: int | None, delay: int, earning: list[int]
) -> None:
    """A program that pays on some invoices pays on the same ones whichever comes first."""
    sarah, _ = promotion_codes(duo)
    kim: dict[str, Any] = {"customer_id": "cus_kim", "subscription_id": "sub_kim"}
    invoices: list[Event] = [
        (sale(f"in_{n}", event_id=f"evt_{n}", at=day(30 * n), codes=(sarah,) if n == 0 else (), **kim),)
        for n in range(4)
    ]
    for order in permutations(range(4)):
        duo.restore()
        with duo.writing() as session:
            as_if_always(session)
            for program in session.exec(select(ProgramRow)):
                program.recurring_months, program.recurring_delay_invoices = months, delay
        books = books_now(duo, [[invoices[n]] for n in order])
        assert [source for source, *_ in books["conversions"]] == [f"in_{n}" for n in earning], order
        assert books["balances"] == {("Sarah Lee", "USD"): 800 * len(earning)}, order


@pytest.mark.parametrize("at_once", [True, False])
def test_a_code_put_on_a_running_subscription_takes_it_from_nobody(duo: Stage, at_once: bool) -> None:
    """Stripe tells both codes with each change of the subscription; it belongs to whom it belonged when it began."""
    sarah, tom = promotion_codes(duo)
    kim: dict[str, Any] = {"customer_id": "cus_kim", "subscription_id": "sub_kim"}

    def told(event: str) -> Event:
        began, later = ((SubscriptionStarted("sub_kim", "cus_kim", f"evt_{event}", day(n), (code,)))
                        for n, code in ((0, sarah), (10, tom)))  # fmt: skip
        return began, later

    first: Event = (sale("in_1", event_id="evt_1", at=day(0), codes=(sarah,), **kim),)
    renewal: Event = (sale("in_2", event_id="evt_2", at=day(30), codes=(sarah, tom), **kim),)
    for order in permutations([first, told("changed"), renewal, told("changed_again")]):
        books = books_after(duo, [order] if at_once else [[event] for event in order])
        assert books["balances"] == {("Sarah Lee", "USD"): 1600}


def test_a_code_that_was_used_up_still_won_the_subscription(duo: Stage) -> None:
    """Once its coupon is used up, Stripe tells of the subscription without it, and of the other affiliate's code alone."""
    sarah, tom = promotion_codes(duo)
    kim: dict[str, Any] = {"customer_id": "cus_kim", "subscription_id": "sub_kim"}
    events: list[Event] = [
        (SubscriptionStarted("sub_kim", "cus_kim", "evt_begun", day(0), (sarah, tom)),),
        (SubscriptionStarted("sub_kim", "cus_kim", "evt_changed", day(0), (tom,)),),
        (sale("in_1", event_id="evt_1", at=day(0), codes=(sarah, tom), **kim),),
        (sale("in_2", event_id="evt_2", at=day(30), codes=(tom,), **kim),),
    ]
    for order in permutations(events):
        books = books_after(duo, [[event] for event in order])
        left = {key: minor for key, minor in books["balances"].items() if minor}
        assert left == {("Sarah Lee", "USD"): 1600}, order
