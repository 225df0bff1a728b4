"""Random histories, in any order and any batches, end in the books of a small model that knows only the rules."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, select

from rekomi_mcp.domain.ledger import NOT_PAYABLE
from rekomi_mcp.domain.sales import Payment, Referral, Sale, SaleSource, SubscriptionStarted
from rekomi_mcp.storage import past_terms, rows
from rekomi_mcp.storage.tables import (
    AffiliateCodeRow,
    AffiliateLinkRow,
    AffiliateRow,
    BindingRow,
    CampaignCouponRow,
    ClickRow,
    ConversionRow,
    LeadRow,
    LedgerEntryRow,
    ProgramRow,
    SaleRow,
)
from rekomi_mcp.tools.ingest import apply_facts
from tests.races.histories import (
    CLICKS,
    LEADS,
    NOW,
    WINDOW_DAYS,
    Books,
    Changes,
    Event,
    History,
    Renewals,
    day,
    deliveries,
    histories,
)
from tests.races.model import Model
from tests.support.stage import Stage


def begin(session: Session, renewals: Renewals, changes: Changes) -> None:
    """Sarah and Tom with codes, clicks and leads, and what the owner changed."""
    codes = {row.code: row for row in session.exec(select(AffiliateCodeRow))}
    sarah, tom = codes["SARAH20"], codes["TOM20"]
    coupon = session.exec(select(CampaignCouponRow)).one()
    weak = CampaignCouponRow(**coupon.model_dump(exclude={"id", "name", "overrides_click_attribution"}), **_WEAK)
    session.add(weak)
    session.flush()
    sarah.stripe_promotion_code_id, tom.stripe_promotion_code_id = "promo_sarah", "promo_tom"
    tom.campaign_coupon_id, tom.commission_type, tom.commission_value = weak.id, "Percentage", 3000
    program = session.exec(select(ProgramRow)).one()
    program.cookie_window_days, program.attribution_model = WINDOW_DAYS, "LastTouch"
    program.recurring_months, program.recurring_delay_invoices = renewals.months, renewals.delay
    affiliates = {row.full_name: row for row in session.exec(select(AffiliateRow))}
    for row in (program, *affiliates.values()):
        row.created_at = day(-9)
    links = {row.affiliate_id: row.id for row in session.exec(select(AffiliateLinkRow))}
    for click_id, (visitor, owner, number) in CLICKS.items():
        row = affiliates[owner]
        session.add(_click(row, links[row.id], click_id, visitor, number))
    for email, leads in LEADS.items():
        session.add_all(_lead(affiliates[owner], email, number) for owner, number in leads)
    if changes.raised is not None:
        with past_terms.kept(session, program, day(changes.raised)):
            program.commission_value = 2500
    if changes.tom_paused is not None:
        for number, status in zip(changes.tom_paused, ("Paused", "Approved"), strict=True):
            with past_terms.kept(session, affiliates["Tom Ray"], day(number)):
                affiliates["Tom Ray"].status = status


_WEAK: dict[str, Any] = {"name": "weak", "overrides_click_attribution": False}


def _click(owner: AffiliateRow, link_id: str, click_id: str, visitor: str, number: int) -> ClickRow:
    return ClickRow(
        id=click_id,
        organization_id=owner.organization_id,
        program_id=owner.program_id,
        affiliate_id=owner.id,
        link_id=link_id,
        visitor_id=visitor,
        device="Desktop",
        occurred_at=day(number),
    )


def _lead(owner: AffiliateRow, email: str, number: int) -> LeadRow:
    return LeadRow(
        organization_id=owner.organization_id,
        program_id=owner.program_id,
        affiliate_id=owner.id,
        email=email,
        email_key=email,
        source="Api",
        created_at=day(number),
    )


def books_after(stage: Stage, history: History, batches: Sequence[Sequence[Event]]) -> Books:
    """What the books say after these batches, each read and written afresh; nothing of it stays."""
    with stage.writing() as session:
        begin(session, history.renewals, history.changes)
        context: Any = SimpleNamespace(
            session=session, organization_id=stage.cast.organization, now=NOW, changed=Mock()
        )
        for batch in batches:
            apply_facts(context, [fact for event in batch for fact in event])
            session.flush()
            session.expunge_all()
        books = _books(session)
        session.rollback()
    return books


def _books(session: Session) -> Books:
    names = {row.id: row.full_name for row in session.exec(select(AffiliateRow))}
    sales = {row.id: row.source_id for row in session.exec(select(SaleRow))}
    conversions = session.exec(select(ConversionRow)).all()
    balances: dict[tuple[str, str], int] = defaultdict(int)
    left: dict[str, int] = defaultdict(int)
    held: dict[str, int] = defaultdict(int)
    for entry in session.exec(select(LedgerEntryRow)):
        balances[names[entry.affiliate_id], entry.currency] += entry.amount_minor
        left[entry.conversion_id] += entry.amount_minor
        held[entry.conversion_id] += entry.amount_minor if entry.available_at == NOT_PAYABLE else 0
    assert {row.id: (row.remaining_minor, row.on_hold_minor) for row in conversions if row.id in left} == {
        key: (value, held[key]) for key, value in left.items()
    }
    return {
        "conversions": sorted(
            (sales[row.sale_id], names[row.affiliate_id], row.commission_minor, row.remaining_minor, row.state)
            for row in conversions
            if row.state != "Denied"
        ),
        "balances": {key: value for key, value in balances.items() if value},
        "bound": sorted((row.kind, row.ref, names[row.affiliate_id]) for row in session.exec(select(BindingRow))),
        "held": {sales[row.sale_id]: row.on_hold_minor for row in conversions if row.on_hold_minor},
    }


@settings(
    max_examples=int(os.environ.get("HISTORIES", "60")),
    deadline=None,
    derandomize=True,
    print_blob=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_random_history_in_any_order_ends_in_the_books_of_the_model(duo: Stage, data: st.DataObject) -> None:
    history = data.draw(histories())
    sent = data.draw(deliveries(history.events()))
    values_in_one_condition = data.draw(st.sampled_from([1, 3, rows.IN_ONE]))
    with patch.object(rows, "IN_ONE", values_in_one_condition):
        assert books_after(duo, history, sent) == Model(history).books()


def sold(number: int, on: int, **more: Any) -> Sale:
    customer = {"customer_id": "cus_kim", "customer_email": "kim@example.com"}
    told: dict[str, Any] = {"currency": "USD", "net_minor": 4000, "gross_minor": 4400, **customer, **more}
    return Sale(SaleSource.Invoice, f"in_{number}", f"evt_{number}", day(on), **told)


def told_in_every_order(stage: Stage, history: History, bound: tuple[str, str, str]) -> None:
    wanted = Model(history).books()
    assert bound in wanted["bound"]
    for order in permutations(history.events()):
        assert books_after(stage, history, [[event] for event in order]) == wanted


def test_what_a_sale_had_bound_before_it_was_nobodys_is_bound_by_the_next(duo: Stage) -> None:
    """Kim's signup is Tom's, who is paused from day 4 to 9; a sale of day 3 makes her his, whenever it is told."""
    sales = [
        sold(0, 3),
        sold(1, 6, promotion_code_ids=("promo_sarah",)),
        sold(2, 7, subscription_id="sub_2"),
        sold(3, 10, subscription_id="sub_2"),
    ]
    history = History(Renewals(None, 0), Changes(tom_paused=(4, 9)), sales, [], [], [], [])
    told_in_every_order(duo, history, ("subscription", "sub_2", "Tom Ray"))


def test_a_customer_whose_sale_was_nobodys_goes_with_their_subscription(duo: Stage) -> None:
    """Kim is Tom's, so what she got for nothing while he was paused was no signup of Lou's, who came with a code of his."""
    lou = {"customer_id": "cus_lou", "customer_email": "lou@example.com"}
    sales = [
        sold(0, 0, promotion_code_ids=("promo_tom",)),
        sold(1, 1, promotion_code_ids=("promo_sarah",)),
        sold(2, 2, net_minor=0, gross_minor=0, customer_email="lou@example.com"),
        sold(3, 3, **lou),
    ]
    started = [SubscriptionStarted("sub_2", "cus_lou", "", day(6), ("promo_tom",))]
    history = History(Renewals(None, 0), Changes(tom_paused=(2, 5)), sales, started, [], [], [])
    told_in_every_order(duo, history, ("customer", "cus_lou", "Tom Ray"))


def test_what_a_sale_bound_as_of_its_checkout_is_not_bound_when_it_is_won_at_its_own_time(duo: Stage) -> None:
    """The subscription is Tom's before he is paused; until that is told, Kim's invoice is Sarah's since its checkout."""
    sales = [
        sold(0, 7, subscription_id="sub_1", promotion_code_ids=("promo_sarah",), payments=(Payment("pi_0"),)),
        sold(1, 4, subscription_id="sub_1", customer_id="cus_lou", payments=(Payment("pi_1"),)),
        sold(2, 6, customer_email=None),
    ]
    at_checkout: dict[str, Any] = {"source": SaleSource.CheckoutSession, "subscription_id": None}
    checkouts = [
        replace(sales[0], source_id="cs_0", occurred_at=day(3), promotion_code_ids=(), **at_checkout),
        replace(sales[1], source_id="cs_1", occurred_at=day(0), promotion_code_ids=("promo_tom",), **at_checkout),
    ]
    history = History(Renewals(None, 0), Changes(tom_paused=(2, 5)), sales, [], [], [], checkouts)
    told_in_every_order(duo, history, ("customer", "cus_kim", "Tom Ray"))


def test_of_two_checkouts_with_different_addresses_the_first_one_counts(duo: Stage) -> None:
    """Kim's signup is Tom's; her invoice has no address, and somebody else paid the rest of it a day later."""
    sale = sold(0, 5, customer_email=None, payments=(Payment("pi_0", 2000), Payment("pi_1", 2400)))
    at_checkout: dict[str, Any] = {"source": SaleSource.CheckoutSession, "customer_id": None}
    checkouts = [
        replace(
            sale,
            source_id=f"cs_{n}",
            occurred_at=day(n),
            customer_email=email,
            payments=(Payment(f"pi_{n}"),),
            **at_checkout,
        )
        for n, email in enumerate(("kim@example.com", "lou@example.com"))
    ]
    history = History(Renewals(None, 0), Changes(), [sale], [], [], [], checkouts)
    told_in_every_order(duo, history, ("customer", "cus_kim", "Tom Ray"))


def test_of_two_signups_in_one_second_one_stays_when_the_other_was_none(duo: Stage) -> None:
    """Lou signs up by Sarah's link; what Kim gets for nothing in that second, with Lou's address, follows a payment."""
    free: dict[str, Any] = {"net_minor": 0, "gross_minor": 0, "customer_email": "lou@example.com"}
    sales = [
        sold(0, 0, subscription_id="sub_1", customer_email=None),
        sold(1, 2, **free | {"customer_id": None}, referral=Referral(click_id="click_1")),
        sold(2, 2, **free, subscription_id="sub_1", promotion_code_ids=("promo_sarah",)),
        sold(3, 4, customer_id="cus_max", customer_email="lou@example.com"),
    ]
    history = History(Renewals(None, 0), Changes(), sales, [], [], [], [])
    told_in_every_order(duo, history, ("customer", "cus_max", "Sarah Lee"))
