"""The terms that were in force before they changed: programs', affiliates' and campaign coupons'."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, func, select

from rekomi_mcp.domain.sales import second_of
from rekomi_mcp.storage.rows import add_missing, parts
from rekomi_mcp.storage.tables import AffiliateRow, CampaignCouponRow, PastTermsRow, ProgramRow

Subject = ProgramRow | AffiliateRow | CampaignCouponRow
_RATE = ("commission_type", "commission_value", "commission_currency")
TERMS: dict[type[Subject], tuple[str, ...]] = {
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
    before, until = _terms(row), second_of(now)
    yield
    if _terms(row) == before:
        return
    last = _last(session, row)
    # Of several changes within a second the first tells what had been in force. So it does for one that has waited for
    # another's transaction and is timed before it, or by a clock that is behind: what it ends was in force at no such time.
    if last is None or last < until:
        values = {"organization_id": row.organization_id, "subject_id": row.id, "until": until, "terms": before}
        add_missing(session, PastTermsRow, [values])


def _last(session: Session, row: Subject) -> datetime | None:
    query = select(func.max(PastTermsRow.until)).where(
        PastTermsRow.organization_id == row.organization_id, PastTermsRow.subject_id == row.id
    )
    return session.exec(query).one()


def _terms(row: Subject) -> dict[str, Any]:
    return {name: getattr(row, name) for name in TERMS[type(row)]}


def of_subjects(
    session: Session, organization_id: str, ids: Iterable[str], since: datetime
) -> dict[str, list[tuple[datetime, dict[str, Any]]]]:
    """The terms of each that were in force at some time from `since` on and no longer are.

    Until when, and the values by column, oldest first. What ended before is not read: of years it may be a lot.
    """
    query = select(PastTermsRow).where(PastTermsRow.organization_id == organization_id, PastTermsRow.until > since)
    found: dict[str, list[tuple[datetime, dict[str, Any]]]] = {}
    for wanted in parts(ids):
        rows = session.exec(query.where(col(PastTermsRow.subject_id).in_(wanted)))
        for row in sorted(rows, key=lambda row: row.until):
            found.setdefault(row.subject_id, []).append((row.until, row.terms))
    return found
