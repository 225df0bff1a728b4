"""Stripe's objects as facts, also where they lack what most of them have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from rekomi_mcp.domain.sales import Referral
from rekomi_mcp.gateways import stripe_facts

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_checkout_that_only_keeps_a_card_sells_nothing() -> None:
    session: dict[str, Any] = {
        "id": "cs_1",
        "mode": "setup",
        "payment_status": "no_payment_required",
        "currency": None,
        "amount_total": None,
        "invoice": None,
        "subscription": None,
    }
    assert stripe_facts.session_sale(session, "evt_1", NOW) is None


def test_a_sellers_own_metadata_may_have_any_names() -> None:
    invoice: dict[str, Any] = {
        "id": "in_1",
        "status": "paid",
        "created": 1,
        "currency": "usd",
        "total": 100,
        "metadata": {"rekomi_ref": "Sarah-Lee"},
        "parent": {"subscription_details": {"subscription": "sub_1", "metadata": {"metadata": "mine"}}},
    }
    sale = stripe_facts.invoice_sale(invoice, "evt_1")
    assert sale is not None
    assert sale.referral == Referral(slug="sarah-lee", rank=1)


@pytest.mark.parametrize(
    ("session", "slug"),
    [
        ({"client_reference_id": "order-1001"}, "sarah-lee"),
        ({"client_reference_id": "tom-ray"}, "sarah-lee"),
        ({"metadata": {"rekomi_ref": "tom-ray"}}, "tom-ray"),
        ({}, "sarah-lee"),
    ],
)
def test_what_a_shop_may_mean_otherwise_hides_no_link_that_the_invoice_names(
    session: dict[str, Any], slug: str
) -> None:
    invoice = {"id": "in_1", "status": "paid", "created": 1, "currency": "usd", "total": 100}
    sale = stripe_facts.invoice_sale({**invoice, "metadata": {"rekomi_ref": "sarah-lee"}}, "evt_1")
    assert sale is not None
    told = stripe_facts.at_checkout(sale, {"id": "cs_1", **session})
    assert told.referral is not None
    assert told.referral.slug == slug


def test_two_references_say_the_same_together_whichever_came_first() -> None:
    sure, other, perhaps = Referral(slug="b", rank=1), Referral(slug="a", click_id="c", rank=1), Referral("z", rank=2)
    assert sure.merged(other) == other.merged(sure) == Referral(click_id="c", slug="a", rank=1)
    assert sure.merged(perhaps) == perhaps.merged(sure) == sure
    assert sure.merged(None) == sure


@pytest.mark.parametrize("reference", ["x" * 200, "a\u0000b", "\ud800", "two words", "", None, 7])
def test_a_reference_that_cannot_be_ours_is_nobodys(reference: Any) -> None:
    assert stripe_facts.session_referral({"client_reference_id": reference}) is None
    assert stripe_facts.session_referral({"metadata": {"rekomi_click": reference, "rekomi_ref": reference}}) is None


def test_a_code_that_is_used_up_when_stripe_is_asked_is_read_off_the_first_invoice() -> None:
    jane = {"id": "di_jane", "promotion_code": "promo_jane", "start": 100}
    bob = {"id": "di_bob", "promotion_code": "promo_bob", "start": 100}
    told: dict[str, Any] = {"id": "sub_1", "created": 100, "discounts": ["di_jane", "di_bob"]}
    now: dict[str, Any] = {**told, "discounts": [bob]}
    assert stripe_facts.lacks_discounts(now, told)
    whole = stripe_facts.with_discounts(now, told, {"id": "in_1", "discounts": [bob, jane]})
    [started] = stripe_facts.subscription_started(whole, "evt_1", NOW)
    assert started.promotion_code_ids == ("promo_jane", "promo_bob")
    assert not stripe_facts.lacks_discounts(whole, told)


@pytest.mark.parametrize(
    ("amounts", "taken"),
    [
        ({"pre_payment_amount": 700}, 700),
        ({"pre_payment_amount": 700, "post_payment_amount": 300}, 1000),
        ({"post_payment_amount": 300, "refunds": [{"amount_refunded": 100}, {"amount_refunded": 50}]}, 150),
        ({"post_payment_amount": 300, "refunds": [{"amount_refunded": 300}]}, None),
    ],
)
def test_a_credit_note_takes_what_its_refunds_do_not_tell_before_the_payment_and_after(
    amounts: dict[str, Any], taken: int | None
) -> None:
    note: dict[str, Any] = {"id": "cn_1", "created": 1, "currency": "usd", "invoice": "in_1", "status": "issued"}
    reversal = stripe_facts.credit_note(note | amounts, "evt_1", NOW)
    assert (reversal.amount_minor if reversal else None) == taken


@pytest.mark.parametrize(
    ("status", "what_it_is"),
    [
        ("needs_response", "open"),
        ("under_review", "open"),
        ("appeal_of_a_kind_to_come", "open"),
        ("warning_needs_response", "pending"),
        ("warning_under_review", "pending"),
        ("warning_closed", "failed"),
        ("prevented", "failed"),
        ("won", "failed"),
        ("lost", "succeeded"),
    ],
)
def test_a_dispute_holds_takes_or_leaves_by_its_status(status: str, what_it_is: str) -> None:
    dispute: dict[str, Any] = {"id": "du_1", "created": 1, "currency": "usd", "amount": 100, "status": status}
    assert stripe_facts.dispute(dispute, "evt_1", NOW).status == what_it_is


@pytest.mark.parametrize(
    ("status", "what_it_is"),
    [
        ("succeeded", "succeeded"),
        (None, "succeeded"),
        ("pending", "pending"),
        ("requires_action", "pending"),
        ("failed", "failed"),
        ("canceled", "failed"),
    ],
)
def test_a_refund_counts_once_its_money_has_moved(status: str | None, what_it_is: str) -> None:
    refund: dict[str, Any] = {"id": "re_1", "created": 1, "currency": "usd", "amount": 100, "status": status}
    assert stripe_facts.refund(refund, "evt_1", NOW).status == what_it_is


def a_line(amount: int, *, proration: bool = False, is_item: bool = True) -> dict[str, Any]:
    details = {"proration": proration, "subscription": "sub_1"}
    kind = "subscription_item_details" if is_item else "invoice_item_details"
    return {"amount": amount, "parent": {"type": kind, kind: details}}


WHOLE, CREDIT, CHARGE = a_line(500_00), a_line(-25_00, proration=True), a_line(50_00, proration=True)
EXTRA, TRIAL = a_line(10_00, is_item=False), a_line(0)


def an_invoice(reason: str | None, *lines: dict[str, Any], has_more: bool = False) -> dict[str, Any]:
    return {
        "id": "in_1",
        "status": "paid",
        "created": 1,
        "currency": "usd",
        "total": 100_00,
        "billing_reason": reason,
        "lines": {"data": list(lines), "has_more": has_more},
        "parent": {"subscription_details": {"subscription": "sub_1"}},
    }


@pytest.mark.parametrize(
    ("reason", "lines", "counts"),
    [
        ("subscription_update", [CREDIT, CHARGE], False),
        ("subscription_update", [CREDIT, WHOLE], True),
        ("subscription_update", [CREDIT, CHARGE, TRIAL], False),
        ("manual", [EXTRA], False),
        ("manual", [EXTRA, CHARGE], False),
        ("automatic_pending_invoice_item_invoice", [CREDIT, CHARGE, EXTRA], False),
        ("subscription_threshold", [WHOLE], False),
        ("subscription_create", [CHARGE], True),
        ("subscription_cycle", [CREDIT, WHOLE], True),
        (None, [], True),
    ],
)
def test_an_invoice_is_a_payment_of_its_subscription_when_it_bills_a_period_anew(
    reason: str | None, lines: list[dict[str, Any]], counts: bool
) -> None:
    sale = stripe_facts.invoice_sale(an_invoice(reason, *lines), "evt_1")
    assert sale is not None
    assert sale.is_counted is counts


def test_lines_that_an_invoice_does_not_show_are_asked_for_only_where_it_hangs_on_them() -> None:
    update = an_invoice("subscription_update", CREDIT, CHARGE, has_more=True)
    assert stripe_facts.lacks_lines(update)
    assert not stripe_facts.lacks_lines(stripe_facts.with_lines(update, [CREDIT, CHARGE]))
    assert not stripe_facts.lacks_lines(an_invoice("subscription_update", WHOLE, has_more=True))
    assert not stripe_facts.lacks_lines(an_invoice("subscription_threshold", WHOLE, has_more=True))
    assert not stripe_facts.lacks_lines(an_invoice("subscription_cycle", CREDIT, has_more=True))
    assert not stripe_facts.lacks_lines({**update, "parent": None})
