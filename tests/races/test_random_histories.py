"""Random histories, in any order and any batches, end in the books of a small model that knows only the rules."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, select

from rekomi_mcp.domain.ledger import NOT_PAYABLE
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
