"""The terms that were in force before they changed: programs', affiliates' and campaign coupons'."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from rekomi_mcp.domain.sales import second_of
from rekomi_mcp.storage.rows import add_missing, parts
from rekomi_mcp.storage.tables import AffiliateRow, CampaignCouponRow, PastTermsRow, ProgramRow

Subject = ProgramRow | AffiliateRow | CampaignCouponRow
_RATE = ("commission_type", "commission_value", "commission_currency")
_TERMS: dict[type[Subject], tuple[str, ...]] = {
    ProgramRow: (
        *_RATE,
        "is_active",
        "cookie_window_days",
        "attribution_model",
        "recurring_months",
        "recurring_delay_invoices",
        "allow_self_purchases",
        "terms_version",
    ),
    AffiliateRow: (*_RATE, "status"),
    CampaignCouponRow: ("overrides_click_attribution",),
}
"""What a decision on a sale reads of each."""


@contextmanager
def kept(session: Session, row: Subject, now: datetime) -> Generator[None]:
    """Change a row within this, and the terms it had stay known for the sales before."""
    before = _terms(row)
    yield
    if _terms(row) != before:
        values = {
            "organization_id": row.organization_id,
            "subject_id": row.id,
            "until": second_of(now),
            "terms": before,
        }
        # Of several changes within a second the first tells what had been in force.
        add_missing(session, PastTermsRow, [values])


def _terms(row: Subject) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _TERMS[type(row)]}


def of_subjects(
    session: Session, organization_id: str, ids: Iterable[str]
) -> dict[str, list[tuple[datetime, dict[str, Any]]]]:
    """The past terms of each that has some: until when, and the values by column, oldest first."""
    query = select(PastTermsRow).where(PastTermsRow.organization_id == organization_id)
    found: dict[str, list[tuple[datetime, dict[str, Any]]]] = {}
    for wanted in parts(ids):
        rows = session.exec(query.where(col(PastTermsRow.subject_id).in_(wanted)))
        for row in sorted(rows, key=lambda row: row.until):
            found.setdefault(row.subject_id, []).append((row.until, row.terms))
    return found
