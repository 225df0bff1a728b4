"""What explanations are told from: sales with what they earned, in columns, and what customers and codes are asked after.

The statements are made once: making one takes longer than running it.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Integer, Select, bindparam, func, literal, literal_column, select, union_all
from sqlmodel import Session, col

from rekomi_mcp.storage.codes import LIVE
from rekomi_mcp.storage.tables import (
    AffiliateCodeRow,
    AffiliateRow,
    CampaignCouponRow,
    ConversionRow,
    LeadRow,
    SaleCodeRow,
    SalePaymentRow,
    SaleRow,
)

Query = Select[*tuple[Any, ...]]


class SaleView(NamedTuple):
    """A sale, and of its conversion, when it has one, what was earned, by whom and with what code."""

    source: str
    source_id: str
    event_id: str
    currency: str
    net_minor: int
    customer_id: str | None
    subscription_id: str | None
    outcome: str
    decision: dict[str, Any]
    occurred_at: datetime
    referral: dict[str, Any] | None
    """What the sale itself said of who brought it: see `SaleRow`."""
    conversion_id: str | None
    commission_minor: int
    """Like the next three, only with a conversion."""
    commission_currency: str
    remaining_minor: int
    on_hold_minor: int
    affiliate_id: str | None
    affiliate_name: str | None
    code_id: str | None
    code: str | None

    @property
    def winner(self) -> dict[str, Any] | None:
        """The claim that won, also when it earned nothing."""
        return next((claim for claim in self.decision["candidates"] if claim["won"]), None)

    @property
    def double_of(self) -> str | None:
        """The invoice that a checkout is one sale with, by its id."""
        return self.decision.get("doubleOf")


class SignupView(NamedTuple):
    created_at: datetime
    affiliate_name: str
    lead_id: str


class CodeView(NamedTuple):
    """A code, whose it is, how long it can be redeemed, and whether it goes before clicks."""

    code: str
    promotion_code_id: str | None
    status: str
    created_at: datetime
    deactivated_at: datetime | None
    expires_at: datetime | None
    coupon_expires_at: datetime | None
    max_redemptions: int | None
    affiliate_name: str
    affiliate_status: str
    overrides_clicks: bool

    @property
    def ends_at(self) -> datetime | None:
        """When it or its coupon expires, whichever is first."""
        return min(filter(None, (self.expires_at, self.coupon_expires_at)), default=None)


MOST_SALES = 20
"""How many sales of a customer or a code are told of; one more is read, to know whether there are more."""
_LIMIT = literal_column(str(MOST_SALES + 1), Integer)
_NAME = func.coalesce(func.nullif(AffiliateRow.full_name, ""), AffiliateRow.email)
_OWNER: BindParameter[str] = bindparam("organization_id")
_WANTED: BindParameter[str] = bindparam("wanted")
_SALES: Query = (
    select(
        col(SaleRow.source),
        col(SaleRow.source_id),
        col(SaleRow.event_id),
        col(SaleRow.currency),
        col(SaleRow.net_minor),
        col(SaleRow.customer_id),
        col(SaleRow.subscription_id),
        col(SaleRow.outcome),
        col(SaleRow.decision),
        col(SaleRow.occurred_at),
        col(SaleRow.referral),
        col(ConversionRow.id),
        col(ConversionRow.commission_minor),
        col(ConversionRow.commission_currency),
        col(ConversionRow.remaining_minor),
        col(ConversionRow.on_hold_minor),
        col(ConversionRow.affiliate_id),
        _NAME,
        col(ConversionRow.code_id),
        col(ConversionRow.code),
    )
    .select_from(SaleRow)
    .outerjoin(ConversionRow, col(ConversionRow.sale_id) == SaleRow.id)
    .outerjoin(AffiliateRow, col(AffiliateRow.id) == ConversionRow.affiliate_id)
)
_NEWEST = _SALES.order_by(col(SaleRow.occurred_at).desc(), col(SaleRow.id).desc()).limit(_LIMIT)
_BY_CONVERSION = _SALES.where(col(ConversionRow.organization_id) == _OWNER, col(ConversionRow.id) == _WANTED)
_BY_SOURCE_ID = _SALES.where(
    col(SaleRow.organization_id) == _OWNER,
    # Each by itself: a tuple would be written into the statement anew at every call.
    col(SaleRow.source).in_([literal(source) for source in ("invoice", "checkout_session", "server")]),
    col(SaleRow.source_id) == _WANTED,
)
_BY_PAYMENT = _SALES.join(
    SalePaymentRow,
    (col(SalePaymentRow.organization_id) == SaleRow.organization_id)
    & (col(SalePaymentRow.source) == SaleRow.source)
    & (col(SalePaymentRow.source_id) == SaleRow.source_id),
).where(
    col(SaleRow.organization_id) == _OWNER,
    col(SalePaymentRow.organization_id) == _OWNER,
    col(SalePaymentRow.payment_id) == _WANTED,
)
_OF_EMAIL = _NEWEST.where(col(SaleRow.organization_id) == _OWNER, col(SaleRow.email_key) == _WANTED)
_CREDITED = (
    select(col(ConversionRow.sale_id))
    .where(col(ConversionRow.organization_id) == _OWNER, col(ConversionRow.code) == _WANTED)
    .order_by(col(ConversionRow.occurred_at).desc(), col(ConversionRow.id).desc())
    .limit(_LIMIT)
)
_LOST = (
    select(col(SaleCodeRow.sale_id))
    .where(
        col(SaleCodeRow.organization_id) == _OWNER,
        # By what Stripe calls them, and not by a join: of one code the newest are then the end of its part of the key.
        col(SaleCodeRow.promotion_code_id).in_(bindparam("promotion_codes", expanding=True)),
    )
    .order_by(col(SaleCodeRow.sale_id).desc())
    .limit(_LIMIT)
)
_OF_CODE = _NEWEST.where(col(SaleRow.id).in_(union_all(*(select(s.subquery().c.sale_id) for s in (_CREDITED, _LOST)))))
_CODES: Query = (
    select(
        col(AffiliateCodeRow.code),
        col(AffiliateCodeRow.stripe_promotion_code_id),
        col(AffiliateCodeRow.status),
        col(AffiliateCodeRow.created_at),
        col(AffiliateCodeRow.deactivated_at),
        col(AffiliateCodeRow.expires_at),
        col(CampaignCouponRow.expires_at),
        col(AffiliateCodeRow.max_redemptions),
        _NAME,
        col(AffiliateRow.status),
        col(CampaignCouponRow.overrides_click_attribution),
    )
    .join(AffiliateRow, col(AffiliateRow.id) == AffiliateCodeRow.affiliate_id)
    .join(CampaignCouponRow, col(CampaignCouponRow.id) == AffiliateCodeRow.campaign_coupon_id)
    .where(col(AffiliateCodeRow.organization_id) == _OWNER, col(AffiliateCodeRow.code) == _WANTED)
)
_SIGNUPS: Query = (
    select(col(LeadRow.created_at), _NAME, col(LeadRow.id))
    .join(AffiliateRow, col(AffiliateRow.id) == LeadRow.affiliate_id)
    .where(col(LeadRow.organization_id) == _OWNER, col(LeadRow.email_key) == _WANTED)
)
_WORDS = union_all(
    select(col(AffiliateRow.id), _NAME.label("word")).where(
        col(AffiliateRow.organization_id) == _OWNER, col(AffiliateRow.id).in_(bindparam("ids", expanding=True))
    ),
    select(col(AffiliateCodeRow.id), col(AffiliateCodeRow.code)).where(
        col(AffiliateCodeRow.organization_id) == _OWNER, col(AffiliateCodeRow.id).in_(bindparam("ids", expanding=True))
    ),
)


def sale_of_conversion(session: Session, organization_id: str, conversion_id: str) -> SaleView | None:
    return next(_sales(session, _BY_CONVERSION, organization_id, conversion_id), None)


def sales_by_source_id(session: Session, organization_id: str, source_id: str) -> list[SaleView]:
    """By the id of the sale itself, or of what paid it: a payment, a charge, the checkout of an invoice.

    One payment may have paid several; a checkout that is one sale with an invoice comes after it.
    """
    found = list(_sales(session, _BY_SOURCE_ID, organization_id, source_id))
    if found:
        return found[:1]
    paid = _sales(session, _BY_PAYMENT, organization_id, source_id)
    return sorted(paid, key=lambda sale: (sale.double_of is None, sale.occurred_at, sale.source_id), reverse=True)


def sales_of_email(session: Session, organization_id: str, email_key: str) -> list[SaleView]:
    """The newest sales to an address, in lower case."""
    return list(_sales(session, _OF_EMAIL, organization_id, email_key))


def sales_of_codes(session: Session, organization_id: str, found: Collection[CodeView]) -> list[SaleView]:
    """The newest sales with these codes of one text: those they were credited by, and those where they lost."""
    values = {
        "organization_id": organization_id,
        "wanted": next(view.code for view in found),
        "promotion_codes": [view.promotion_code_id for view in found if view.promotion_code_id is not None],
    }
    return [SaleView._make(row) for row in session.connection().execute(_OF_CODE, values)]


def codes(session: Session, organization_id: str, code: str) -> list[CodeView]:
    """Every code that has or had this text, the live one first, then the newest."""
    found = map(CodeView._make, _rows(session, _CODES, organization_id, code))
    return sorted(found, key=lambda view: (view.status in LIVE, view.created_at), reverse=True)


def signups(session: Session, organization_id: str, email_key: str) -> list[SignupView]:
    """Leads with an address, in lower case, oldest first."""
    # Sorted here: to get them in order a database may walk all leads by time instead.
    return sorted(map(SignupView._make, _rows(session, _SIGNUPS, organization_id, email_key)))


def words(session: Session, organization_id: str, ids: Collection[str]) -> dict[str, str]:
    """What to call these affiliates and codes, by id: the name, or the e-mail address when there is none; the text."""
    if not ids:
        return {}
    values = {"organization_id": organization_id, "ids": list(ids)}
    return {row.id: row.word for row in session.connection().execute(_WORDS, values)}


def _sales(session: Session, query: Query, organization_id: str, wanted: str) -> Iterator[SaleView]:
    return map(SaleView._make, _rows(session, query, organization_id, wanted))


def _rows(session: Session, query: Query, organization_id: str, wanted: str) -> Sequence[Any]:
    return session.connection().execute(query, {"organization_id": organization_id, "wanted": wanted}).all()
