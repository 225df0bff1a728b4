"""What was decided once keeps its terms, and news that is late or repeated neither revives nor takes anything."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.domain.ledger import NOT_PAYABLE
from rekomi_mcp.domain.sales import (
    CodeChanged,
    Payment,
    Reversal,
    ReversalKind,
    ReversalStatus,
    SaleSource,
    SubscriptionStarted,
)
from rekomi_mcp.storage.tables import (
    AffiliateCodeRow,
    AffiliateRow,
    CampaignCouponRow,
    ConversionRow,
    LedgerEntryRow,
    OrganizationRow,
    ProgramRow,
)
from tests.races.test_reordering import day, promotion_codes
from tests.races.test_told_in_parts import KIM, dispute, earned, link, tell, toms_server_tells_of_kim
from tests.support.pictures import picture
from tests.support.stage import Stage
from tests.support.terms_watch import as_if_always
from tests.support.world import sale, sell

BY_KIM: dict[str, Any] = {"customer_email": "kim@example.com", **KIM}


def refund(number: int, amount: int, payment: str, status: str = "succeeded") -> Reversal:
    return Reversal(
        id="re_1",
        kind=ReversalKind.Refund,
        event_id=f"refund_{number}",
        occurred_at=day(number),
        currency="USD",
        amount_minor=amount,
        status=ReversalStatus(status),
        payment_intent_id=payment,
    )


def switched(promotion_code_id: str, active: bool, number: int) -> CodeChanged:
    return CodeChanged(promotion_code_id, active, f"switched_{number}_{active}", day(number))


def status_of_sarahs_code(stage: Stage) -> str:
    return next(row.status for row in stage.rows(AffiliateCodeRow) if row.code == "SARAH20")


@pytest.mark.parametrize("first", [True, False], ids=["on-first", "off-first"])
def test_a_code_that_is_switched_on_and_off_in_one_second_is_off(duo: Stage, first: bool) -> None:
    sarah, _ = promotion_codes(duo)
    tell(duo, switched(sarah, first, 1), switched(sarah, not first, 1))
    assert status_of_sarahs_code(duo) == "Inactive"


def test_a_code_that_was_ended_here_is_not_revived_by_older_news_of_stripe(duo: Stage) -> None:
    sarah, _ = promotion_codes(duo)
    with duo.writing() as session:
        row = session.get_one(AffiliateCodeRow, duo.cast.code)
        row.status, row.told_at, row.deactivated_at = "Inactive", day(1), day(3)
    tell(duo, switched(sarah, True, 2))
    assert status_of_sarahs_code(duo) == "Inactive"
    tell(duo, switched(sarah, True, 4))
    assert status_of_sarahs_code(duo) == "Active"


def test_a_sale_that_goes_to_another_is_held_for_as_long_as_it_was(duo: Stage) -> None:
    """The days of hold are those of when it was first decided, whatever they are by now."""
    sarah, _ = promotion_codes(duo)
    toms_server_tells_of_kim(duo, day(0))
    sold = sale("in_1", at=day(2), customer_email="kim@example.com")
    tell(duo, sold)
    [before] = duo.rows(ConversionRow)
    with duo.writing() as session:
        session.get_one(OrganizationRow, duo.cast.organization).payout_grace_days += 20
    tell(duo, replace(sold, promotion_code_ids=(sarah,)))
    [after] = duo.rows(ConversionRow)
    assert earned(duo) == [("in_1", "Sarah Lee")]
    assert after.held_until == before.held_until
    assert {entry.available_at for entry in duo.rows(LedgerEntryRow)} == {before.held_until}


def test_a_code_that_is_told_later_brings_its_own_rate_to_the_affiliate_who_had_the_sale(duo: Stage) -> None:
    _, tom = promotion_codes(duo)
    toms_server_tells_of_kim(duo, day(0))
    with duo.writing() as session:
        [row] = [row for row in duo.rows(AffiliateCodeRow) if row.code == "TOM20"]
        row = session.get_one(AffiliateCodeRow, row.id)
        row.commission_type, row.commission_value = "Percentage", 5000
    sold = sale("in_1", at=day(2), customer_email="kim@example.com")
    tell(duo, sold)
    assert picture(duo)["conversions"] == [("in_1", "Tom Ray", 800, 800, "Open")]
    tell(duo, replace(sold, promotion_code_ids=(tom,)))
    assert picture(duo)["conversions"] == [("in_1", "Tom Ray", 2000, 2000, "Open")]


def test_an_adopted_coupon_is_over_from_the_beginning_of_the_second_in_which_it_was_archived(duo: Stage) -> None:
    sarah, _ = promotion_codes(duo)
    with duo.writing() as session:
        coupon = session.get_one(CampaignCouponRow, session.get_one(AffiliateCodeRow, duo.cast.code).campaign_coupon_id)
        coupon.adopted, coupon.status, coupon.archived_at = True, "Archived", day(1) + timedelta(milliseconds=500)
    tell(
        duo,
        sale("in_before", at=day(1) - timedelta(seconds=1), codes=(sarah,)),
        sale("in_then", at=day(1), codes=(sarah,)),
    )
    assert earned(duo) == [("in_before", "Sarah Lee")]


def test_a_sale_too_small_for_a_commission_is_refunded_all_the_same(duo: Stage) -> None:
    sarah, _ = promotion_codes(duo)
    tell(
        duo, sale("in_1", at=day(1), codes=(sarah,), net=1, gross=1, payments=(Payment("pi_1"),)), refund(2, 1, "pi_1")
    )
    [row] = duo.rows(ConversionRow)
    assert (row.commission_minor, row.state, row.refunded_at) == (0, "Refunded", day(2))


def test_a_refund_of_an_own_purchase_takes_nothing_from_the_affiliate(duo: Stage) -> None:
    sarah, _ = promotion_codes(duo)
    address = next(row.email for row in duo.rows(AffiliateRow) if row.id == duo.cast.sarah)
    own = sale("in_1", at=day(1), codes=(sarah,), customer_email=address, payments=(Payment("pi_1"),))
    tell(duo, own, refund(2, 2200, "pi_1"))
    [row] = duo.rows(ConversionRow)
    assert (row.state, row.flag, row.remaining_minor) == ("Denied", "self_purchase", 0)
    assert duo.rows(LedgerEntryRow) == []


def test_a_full_refund_that_bounces_leaves_the_sale_as_it_was(duo: Stage) -> None:
    sarah, _ = promotion_codes(duo)
    sold = sale("in_1", at=day(1), codes=(sarah,), payments=(Payment("pi_1"),))
    tell(duo, sold, refund(2, 4400, "pi_1"))
    [row] = duo.rows(ConversionRow)
    assert (row.state, row.refunded_at, row.remaining_minor) == ("Refunded", day(2), 0)
    tell(duo, refund(3, 4400, "pi_1", "failed"))
    [row] = duo.rows(ConversionRow)
    assert (row.state, row.refunded_at, row.remaining_minor) == ("Open", None, 800)


def test_what_a_dispute_holds_leaves_nothing_payable_at_any_time(duo: Stage) -> None:
    sarah, _ = promotion_codes(duo)
    tell(duo, sale("in_1", at=day(1), codes=(sarah,)), link("ch_a"), dispute("a", 3, "open", "ch_a"))
    sums: dict[Any, int] = {}
    for entry in duo.rows(LedgerEntryRow):
        sums[entry.available_at] = sums.get(entry.available_at, 0) + entry.amount_minor
    [row] = duo.rows(ConversionRow)
    assert sums == {row.held_until: 0, NOT_PAYABLE: 800}


def test_a_refunded_checkout_that_is_an_invoices_sale_hands_its_refund_over(duo: Stage) -> None:
    sarah, _ = promotion_codes(duo)
    paid: dict[str, Any] = {"at": day(1), "codes": (sarah,), "payments": (Payment("pi_1"),)}
    tell(
        duo,
        sale("cs_1", source=SaleSource.CheckoutSession, **paid),
        refund(2, 4400, "pi_1"),
        sale("in_1", **paid),
    )
    rows = {row.state: row for row in duo.rows(ConversionRow)}
    assert set(rows) == {"Denied", "Refunded"}
    assert (rows["Denied"].refunded_at, rows["Denied"].remaining_minor) == (None, 0)
    assert (rows["Refunded"].refunded_at, rows["Refunded"].remaining_minor) == (day(2), 0)
    tell(duo, refund(3, 4400, "pi_1", "failed"))
    assert picture(duo)["conversions"] == [("in_1", "Sarah Lee", 800, 800, "Open")]


def test_an_invoice_over_nothing_is_no_payment_of_its_subscription(duo: Stage) -> None:
    """Not in a batch with the first that is one, either."""
    sarah, _ = promotion_codes(duo)
    with duo.writing() as session:
        as_if_always(session)
        session.get_one(ProgramRow, duo.cast.program).recurring_months = 0
    facts = [
        sale("in_trial", at=day(1), codes=(sarah,), net=0, gross=0, **KIM),
        sale("in_first", at=day(8), **KIM),
        sale("in_second", at=day(38), **KIM),
    ]

    async def ingest(app: App) -> None:
        await sell(app, duo.cast.organization, *facts)

    duo.act(ingest)
    assert earned(duo) == [("in_first", "Sarah Lee")]


def test_a_later_signup_that_was_anothers_after_all_leaves_the_first_as_it_was(duo: Stage) -> None:
    sarah, tom = promotion_codes(duo)
    free: dict[str, Any] = {"net": 0, "gross": 0, "codes": (tom,), "customer_email": "kim@example.com"}
    tell(
        duo,
        sale("in_free_1", at=day(1), **free),
        sale("in_free_5", at=day(5), **free, **KIM),
        SubscriptionStarted("sub_kim", "cus_kim", "begun", day(4), (sarah,), told_at=day(4)),
        sale("in_paid", at=day(9), customer_email="kim@example.com"),
    )
    assert earned(duo) == [("in_paid", "Tom Ray")]


def test_a_conversion_names_the_code_only_when_the_code_brought_it(duo: Stage) -> None:
    sarah, _ = promotion_codes(duo)
    tell(duo, sale("in_1", at=day(1), codes=(sarah,), **BY_KIM), sale("in_2", at=day(30), **BY_KIM))
    rows = sorted(duo.rows(ConversionRow), key=lambda row: row.occurred_at)
    assert [(row.method, row.code, row.code_id) for row in rows] == [
        ("coupon", "SARAH20", duo.cast.code),
        ("customer", None, None),
    ]
