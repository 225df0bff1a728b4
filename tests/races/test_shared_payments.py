"""A payment that a merchant puts on several invoices is taken back from each by its part, whatever is told first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

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
)
from rekomi_mcp.storage.tables import AffiliateRow, ConversionRow, LedgerEntryRow, SalePaymentRow, SaleRow
from tests.races.test_reordering import day, promotion_codes
from tests.support.pictures import check_books
from tests.support.stage import Stage
from tests.support.world import sale, sell

Left = dict[str, tuple[int, int, str]]
"""By sale: what of the commission remains, what of that is on hold, and the state."""


def paid(source_id: str, code: str, gross: int, *payments: Payment, **more: Any) -> Sale:
    """A sale of which nothing went into tax: 20 % of it is earned."""
    return sale(source_id, codes=(code,), net=gross, gross=gross, payments=payments, at=day(1), **more)


def back(name: str, status: str, amount: int, number: int, payment_id: str = "pi") -> Reversal:
    kind = {"re": ReversalKind.Refund, "du": ReversalKind.Dispute}[name[:2]]
    at = day(2) + timedelta(hours=number)
    return Reversal(name, kind, "", at, "USD", amount, ReversalStatus(status), payment_id, told_at=at)


def in_every_order(
    stage: Stage, facts: Sequence[Fact], wanted: Left, orders: Sequence[Sequence[int]] | None = None
) -> None:
    """Each order, or those that are given, under ids of its own, each fact by an event of its own."""
    left: dict[str, Left] = {}

    async def tell(app: App) -> None:
        for number, order in enumerate(orders or permutations(range(len(facts)))):
            for turn, index in enumerate(order):
                fact = _as_of(facts[index], f"_{number}")
                await sell(app, stage.cast.organization, replace(fact, event_id=f"evt_{number}_{turn}"))

    stage.act(tell)
    with stage.reading() as session:
        check_books(session, stage.cast.organization)
    sales = {row.id: row.source_id for row in stage.rows(SaleRow)}
    for row in stage.rows(ConversionRow):
        source_id, _, number = sales[row.sale_id].rpartition("_")
        if row.state != "Denied":
            left.setdefault(number, {})[source_id] = (row.remaining_minor, row.on_hold_minor, row.state)
    assert len(left) > 1
    wrong = {number: each for number, each in left.items() if each != wanted}
    assert wrong == {}


def _as_of(fact: Fact, mark: str) -> Any:
    """The fact under other ids."""
    if isinstance(fact, Sale):
        payments = tuple(replace(payment, id=payment.id + mark) for payment in fact.payments)
        return replace(fact, source_id=fact.source_id + mark, payments=payments)
    if isinstance(fact, SaleReference):
        return replace(fact, payment_id=fact.payment_id + mark, source_id=fact.source_id + mark)
    assert isinstance(fact, Reversal)
    sale_key = fact.sale and (fact.sale[0], fact.sale[1] + mark)
    names = {n: v + mark for n in ("id", "payment_intent_id", "charge_id") if (v := getattr(fact, n)) is not None}
    return replace(fact, sale=sale_key, **names)


@pytest.mark.parametrize("told", [True, False], ids=["parts told", "parts not told"])
def test_each_invoice_bears_its_part_of_a_refund(duo: Stage, told: bool) -> None:
    sarah, tom = promotion_codes(duo)
    parts = (Payment("pi", 6000), Payment("pi", 4000)) if told else (Payment("pi"), Payment("pi"))
    in_every_order(
        duo,
        [
            paid("in_a", sarah, 6000, parts[0]),
            paid("in_b", tom, 4000, parts[1]),
            back("re_1", "succeeded", 2500, 0),
            back("re_2", "pending", 500, 1),
            back("re_2", "failed", 500, 2),
        ],
        {"in_a": (900, 0, "Open"), "in_b": (600, 0, "Open")},
    )


def test_refunds_that_add_up_to_the_payment_leave_nothing_of_either(duo: Stage) -> None:
    """Also where no part is a whole minor unit."""
    sarah, tom = promotion_codes(duo)
    in_every_order(
        duo,
        [
            paid("in_a", sarah, 200, Payment("pi")),
            paid("in_b", tom, 101, Payment("pi")),
            back("re_1", "succeeded", 101, 0),
            back("re_2", "succeeded", 100, 1),
            back("re_3", "succeeded", 100, 2),
        ],
        {"in_a": (0, 0, "Refunded"), "in_b": (0, 0, "Refunded")},
    )


def test_a_dispute_holds_both_and_is_lost_by_both(duo: Stage) -> None:
    sarah, tom = promotion_codes(duo)
    facts: list[Fact] = [
        paid("in_a", sarah, 6000, Payment("pi")),
        paid("in_b", tom, 4000, Payment("pi")),
        back("re_1", "succeeded", 1000, 0),
        back("du_1", "open", 5000, 1),
    ]
    in_every_order(duo, facts, {"in_a": (1080, 1080, "Open"), "in_b": (720, 720, "Open")})


@pytest.mark.parametrize(("end", "left"), [("succeeded", (480, 320)), ("failed", (1080, 720))])
def test_what_a_dispute_held_of_both_is_settled_at_its_end(
    duo: Stage,
    end: str,
    left: tuple[int, int],
) -> None:
    sarah, tom = promotion_codes(duo)
    facts: list[Fact] = [
        paid("in_a", sarah, 6000, Payment("pi")),
        paid("in_b", tom, 4000, Payment("pi")),
        back("re_1", "succeeded", 1000, 0),
        back("du_1", "open", 5000, 1),
        back("du_1", end, 5000, 2),
    ]
    in_every_order(duo, facts, {"in_a": (left[0], 0, "Open"), "in_b": (left[1], 0, "Open")})


def test_an_invoice_that_another_payment_paid_in_part_bears_only_what_this_one_paid(duo: Stage) -> None:
    """Of 100.00 went 60.00 into the first and 40.00 into the second, which another payment paid 60.00 of."""
    sarah, tom = promotion_codes(duo)
    facts: list[Fact] = [
        paid("in_a", sarah, 6000, Payment("pi", 6000)),
        paid("in_b", tom, 10000, Payment("pi", 4000), Payment("pi_other", 6000)),
        back("re_1", "succeeded", 10000, 0),
        back("re_2", "succeeded", 3000, 1, "pi_other"),
    ]
    in_every_order(duo, facts, {"in_a": (0, 0, "Refunded"), "in_b": (600, 0, "Open")})


def test_the_part_of_an_invoice_that_nobody_told_of_is_not_taken_from_the_other(duo: Stage) -> None:
    """It was paid before the server was there: Stripe says so when it is asked what the refund's payment paid."""
    sarah, _ = promotion_codes(duo)
    facts: list[Fact] = [
        paid("in_a", sarah, 10000, Payment("pi"), Payment("pi_other")),
        SaleReference("pi", SaleSource.Invoice, "in_a", "", 6000),
        SaleReference("pi", SaleSource.Invoice, "in_b", "", 4000),
        back("re_1", "succeeded", 5000, 0),
    ]
    in_every_order(duo, facts, {"in_a": (1400, 0, "Open")})


def test_a_sale_told_last_leaves_the_others_what_their_other_payments_took(duo: Stage) -> None:
    sarah, tom = promotion_codes(duo)
    facts: list[Fact] = [
        paid("in_a", sarah, 6000),
        SaleReference("pi", SaleSource.Invoice, "in_a", ""),
        paid("in_b", tom, 10000, Payment("pi"), Payment("pi_other")),
        back("re_1", "succeeded", 8000, 0),
        back("re_2", "succeeded", 1000, 1, "pi_other"),
    ]
    in_every_order(duo, facts, {"in_a": (600, 0, "Open"), "in_b": (800, 0, "Open")})


def test_a_checkout_whose_payment_is_put_on_two_invoices_is_both_of_them(duo: Stage) -> None:
    sarah, _ = promotion_codes(duo)
    facts: list[Fact] = [
        paid("cs_1", sarah, 10000, Payment("pi"), source=SaleSource.CheckoutSession),
        paid("in_a", "promo_nobody", 6000, Payment("pi", 6000)),
        paid("in_b", "promo_nobody", 4000, Payment("pi", 4000)),
        back("re_1", "succeeded", 5000, 0),
    ]
    in_every_order(duo, facts, {"in_a": (600, 0, "Open"), "in_b": (400, 0, "Open")})
    doubles = {row.decision["doubleOf"].rpartition("_")[0] for row in duo.rows(SaleRow) if row.outcome == "duplicate"}
    assert doubles == {"in_a"}, "one of them is named, whichever came first"


def test_a_payment_that_goes_by_two_names_is_shared_once(duo: Stage) -> None:
    sarah, tom = promotion_codes(duo)
    refund = replace(back("re_1", "succeeded", 5000, 0), charge_id="ch")
    facts: list[Fact] = [
        paid("in_a", sarah, 6000, Payment("pi", 6000), Payment("ch", 6000)),
        paid("in_b", tom, 4000, Payment("ch", 4000)),
        refund,
    ]
    in_every_order(duo, facts, {"in_a": (600, 0, "Open"), "in_b": (400, 0, "Open")})


def test_a_credit_note_of_one_invoice_is_not_borne_by_the_other(duo: Stage) -> None:
    sarah, tom = promotion_codes(duo)
    note = Reversal(
        id="cn_1",
        kind=ReversalKind.CreditNote,
        event_id="",
        occurred_at=day(3),
        currency="USD",
        amount_minor=3000,
        status=ReversalStatus.Succeeded,
        told_at=day(3),
        sale=(SaleSource.Invoice, "in_a"),
    )
    facts: list[Fact] = [
        paid("in_a", sarah, 6000, Payment("pi")),
        paid("in_b", tom, 4000, Payment("pi")),
        note,
        back("re_1", "succeeded", 1000, 0),
    ]
    in_every_order(duo, facts, {"in_a": (480, 0, "Open"), "in_b": (720, 0, "Open")})


def test_three_invoices_of_one_payment_each_bear_their_part(duo: Stage) -> None:
    sarah, tom = promotion_codes(duo)
    facts: list[Fact] = [
        paid("in_a", sarah, 5000, Payment("pi")),
        paid("in_b", tom, 3000, Payment("pi")),
        paid("in_c", sarah, 2000, Payment("pi")),
        back("re_1", "succeeded", 5000, 0),
        back("re_2", "succeeded", 1000, 1),
    ]
    in_every_order(duo, facts, {"in_a": (400, 0, "Open"), "in_b": (240, 0, "Open"), "in_c": (160, 0, "Open")})


def test_what_is_taken_back_again_when_another_invoice_becomes_known_is_in_the_ledger(duo: Stage) -> None:
    sarah, tom = promotion_codes(duo)

    async def tell(app: App) -> None:
        for number, fact in enumerate(
            [
                paid("in_a", sarah, 6000, Payment("pi")),
                back("re_1", "succeeded", 5000, 0),
                paid("in_b", tom, 4000, Payment("pi")),
            ]
        ):
            await sell(app, duo.cast.organization, replace(fact, event_id=f"evt_{number}"))

    duo.act(tell)
    entries = [
        (row.kind, row.amount_minor, row.cause_state, row.cause_amount_minor) for row in duo.rows(LedgerEntryRow)
    ]
    assert sorted(entries) == [
        ("accrual", 800, "paid", 4000),
        ("accrual", 1200, "paid", 6000),
        ("restoration", 400, "succeeded*3/5#1", 3000),
        ("reversal", -1000, "succeeded", 5000),
        ("reversal", -400, "succeeded*2/5", 2000),
    ]
    kept = {(row.payment_id, row.source_id, row.amount_minor) for row in duo.rows(SalePaymentRow)}
    assert kept == {("pi", "in_a", None), ("pi", "in_b", None)}


def test_an_invoice_whose_payment_another_event_tells_is_one_sale_with_its_checkout(duo: Stage) -> None:
    """The event of a subscription's invoice does not say that a checkout's payment was put on it."""
    sarah, _ = promotion_codes(duo)
    facts: list[Fact] = [
        paid("cs_1", sarah, 6000, Payment("pi"), source=SaleSource.CheckoutSession),
        paid("in_a", "promo_nobody", 6000, subscription_id="sub_1"),
        SaleReference("pi", SaleSource.Invoice, "in_a", "", 6000),
        back("re_1", "succeeded", 1500, 0),
    ]
    in_every_order(duo, facts, {"in_a": (900, 0, "Open")})


def winners(stage: Stage) -> set[str]:
    names = {row.id: row.full_name for row in stage.rows(AffiliateRow)}
    return {names[row.affiliate_id] for row in stage.rows(ConversionRow) if row.state != "Denied"}


@pytest.mark.parametrize("first_is", ["sarah", "tom"])
def test_of_two_checkouts_that_paid_an_invoice_the_first_ones_code_wins(duo: Stage, first_is: str) -> None:
    """A deposit and the rest, each with a code."""
    sarah, tom = promotion_codes(duo)
    first, second = (sarah, tom) if first_is == "sarah" else (tom, sarah)
    facts: list[Fact] = [
        replace(paid("cs_b", first, 6000, Payment("pi_1"), source=SaleSource.CheckoutSession), occurred_at=day(0)),
        paid("cs_a", second, 4000, Payment("pi_2"), source=SaleSource.CheckoutSession),
        replace(paid("in_a", "promo_nobody", 10000, Payment("pi_1", 6000), Payment("pi_2", 4000)), occurred_at=day(2)),
        back("re_1", "succeeded", 3000, 20, "pi_2"),
    ]
    in_every_order(duo, facts, {"in_a": (1400, 0, "Open")})
    assert winners(duo) == {{"sarah": "Sarah Lee", "tom": "Tom Ray"}[first_is]}


def test_two_checkouts_are_known_to_be_one_invoices_by_news_of_either_payment(duo: Stage) -> None:
    sarah, tom = promotion_codes(duo)
    facts: list[Fact] = [
        paid("cs_1", sarah, 6000, Payment("pi_1"), source=SaleSource.CheckoutSession),
        replace(paid("cs_2", tom, 4000, Payment("pi_2"), source=SaleSource.CheckoutSession), occurred_at=day(2)),
        replace(paid("in_a", "promo_nobody", 10000, subscription_id="sub_1"), occurred_at=day(3)),
        SaleReference("pi_1", SaleSource.Invoice, "in_a", "", 6000),
        SaleReference("pi_2", SaleSource.Invoice, "in_a", "", 4000),
    ]
    in_every_order(duo, facts, {"in_a": (2000, 0, "Open")})
    assert winners(duo) == {"Sarah Lee"}


def test_the_code_of_the_checkout_goes_before_those_of_its_invoice(duo: Stage) -> None:
    """Also where the invoice carries the same code, in another place."""
    sarah, tom = promotion_codes(duo)
    facts: list[Fact] = [
        paid("cs_1", sarah, 6000, Payment("pi"), source=SaleSource.CheckoutSession),
        replace(paid("in_a", tom, 6000, Payment("pi")), promotion_code_ids=(tom, sarah)),
    ]
    in_every_order(duo, facts, {"in_a": (1200, 0, "Open")})
    assert winners(duo) == {"Sarah Lee"}


def test_what_hangs_together_by_many_payments_is_decided_as_a_whole(duo: Stage) -> None:
    """Three invoices and three checkouts, each invoice but the first paid by two of them; told once, and all again."""
    sarah, tom = promotion_codes(duo)

    def made(number: int, code: str, at: int) -> Sale:
        checkout = paid(f"cs_{number}", code, 4000, Payment(f"pi_{number}"), source=SaleSource.CheckoutSession)
        return replace(checkout, occurred_at=day(at))

    def billed(number: int, *payments: str) -> Sale:
        invoice = paid(f"in_{number}", "promo_nobody", 4000, *map(Payment, payments))
        return replace(invoice, occurred_at=day(6))

    facts: list[Fact] = [
        made(0, "promo_nobody", 4),
        billed(0, "pi_0"),
        billed(1, "pi_1", "pi_0"),
        made(1, tom, 3),
        billed(2, "pi_2", "pi_1"),
        made(2, sarah, 2),
    ]
    orders = [order * 2 for order in [*permutations(range(6))][::29]]
    in_every_order(duo, facts, {"in_1": (800, 0, "Open"), "in_2": (800, 0, "Open")}, orders)
    names = {row.id: row.full_name for row in duo.rows(AffiliateRow)}
    sales = {row.id: row.source_id.rpartition("_")[0] for row in duo.rows(SaleRow)}
    won = {(sales[row.sale_id], names[row.affiliate_id]) for row in duo.rows(ConversionRow) if row.state != "Denied"}
    assert won == {("in_1", "Tom Ray"), ("in_2", "Sarah Lee")}


def test_a_repair_that_times_a_checkout_otherwise_leaves_its_invoice_on_the_same_terms(duo: Stage) -> None:
    """An event is told some seconds after the charge that a repair reads the time off."""
    sarah, _ = promotion_codes(duo)
    checkout = paid("cs_1", sarah, 4000, Payment("pi"), source=SaleSource.CheckoutSession)
    checkout = replace(checkout, occurred_at=day(1) + timedelta(seconds=2))
    invoice = replace(paid("in_a", "promo_nobody", 4000, Payment("pi")), occurred_at=day(5))

    async def tell(app: App) -> None:
        await sell(app, duo.cast.organization, replace(checkout, event_id="evt_1"))
        await sell(app, duo.cast.organization, replace(checkout, event_id="evt_2", occurred_at=day(1)), invoice)

    duo.act(tell)
    [found] = [row for row in duo.rows(SaleRow) if row.source_id == "in_a"]
    assert found.decision["asOf"] == (day(1) + timedelta(seconds=2)).isoformat()
