"""What goes back of a payment is shared out anew when what it paid turns out otherwise, as often as it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from sqlmodel import select

from rekomi_mcp.domain.sales import Fact, Payment, Reversal, Sale, SaleReference, SaleSource
from rekomi_mcp.storage.tables import ConversionRow, SaleRow
from rekomi_mcp.tools.ingest import apply_facts
from tests.races.histories import NOW
from tests.races.test_reordering import promotion_codes
from tests.races.test_shared_payments import Left, back, paid
from tests.support.stage import Stage


def left_after(stage: Stage, *batches: Sequence[Fact], corrections: Sequence[Sale] = ()) -> Left:
    """What is left of each sale after these batches, and then what Stripe says of amounts; nothing of it stays."""
    with stage.writing() as session:
        context: Any = SimpleNamespace(
            session=session, organization_id=stage.cast.organization, now=NOW, changed=Mock()
        )
        told: list[tuple[Sequence[Fact], bool]] = [*((b, False) for b in batches), *(([c], True) for c in corrections)]
        for batch, corrects in told:
            apply_facts(context, batch, corrects=corrects)
            session.flush()
            session.expunge_all()
        sales = {row.id: row.source_id for row in session.exec(select(SaleRow))}
        rows = session.exec(select(ConversionRow)).all()
        left = {sales[row.sale_id]: (row.remaining_minor, row.on_hold_minor, row.state) for row in rows}
        session.rollback()
    return left


@pytest.mark.parametrize("taken", [back("re_1", "succeeded", 5000, 0), back("du_1", "succeeded", 5000, 0)])
def test_an_amount_that_is_corrected_to_and_fro_shares_what_went_back_each_time(duo: Stage, taken: Reversal) -> None:
    sarah, tom = promotion_codes(duo)
    first, second = paid("in_a", sarah, 6000, Payment("pi")), paid("in_b", tom, 4000, Payment("pi"))
    less = replace(first, net_minor=4000, gross_minor=4000)
    told = [first], [second], [taken]
    assert left_after(duo, *told, corrections=[less]) == {"in_a": (300, 0, "Open"), "in_b": (300, 0, "Open")}
    left = left_after(duo, *told, corrections=[less, first, less, first])
    assert left == {"in_a": (600, 0, "Open"), "in_b": (400, 0, "Open")}


def test_parts_that_are_told_after_the_refund_may_come_to_the_same(duo: Stage) -> None:
    """In between one is known and the other is not."""
    sarah, tom = promotion_codes(duo)
    parts = [
        SaleReference("pi", SaleSource.Invoice, "in_a", "", 3000),
        SaleReference("pi", SaleSource.Invoice, "in_b", "", 2000),
    ]
    sales = paid("in_a", sarah, 6000, Payment("pi")), paid("in_b", tom, 4000, Payment("pi"))
    left = left_after(duo, sales, [back("re_1", "succeeded", 2500, 0)], parts)
    assert left == {"in_a": (900, 0, "Open"), "in_b": (600, 0, "Open")}


def test_invoices_that_know_their_payment_by_different_names_share_it(duo: Stage) -> None:
    sarah, tom = promotion_codes(duo)
    refund = replace(back("re_1", "succeeded", 5000, 0), charge_id="ch")
    first, second = paid("in_a", sarah, 6000, Payment("pi", 6000)), paid("in_b", tom, 4000, Payment("ch", 4000))
    assert left_after(duo, [first], [refund], [second]) == {"in_a": (600, 0, "Open"), "in_b": (400, 0, "Open")}


@pytest.mark.parametrize("first", ["refund", "checkout"])
def test_a_checkout_bears_what_went_back_until_the_invoice_of_its_payment_is_here(duo: Stage, first: str) -> None:
    """It is the invoice's sale, of which Stripe spoke when it was asked: not a second one with a part of its own."""
    sarah, _ = promotion_codes(duo)
    checkout = [paid("cs", sarah, 6000, Payment("pi"), source=SaleSource.CheckoutSession)]
    refund: list[Fact] = [SaleReference("pi", SaleSource.Invoice, "in_a", "", 6000), back("re_1", "succeeded", 6000, 0)]
    told = (refund, checkout) if first == "refund" else (checkout, refund)
    assert left_after(duo, *told) == {"cs": (0, 0, "Refunded")}
    invoice = [paid("in_a", "promo_nobody", 6000, Payment("pi", 6000))]
    assert left_after(duo, *told, invoice) == {"cs": (0, 0, "Denied"), "in_a": (0, 0, "Refunded")}
