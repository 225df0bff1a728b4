"""What explanations are told from: sales with what they earned, in columns, and what customers and codes are asked after.

The statements are made once: making one takes longer than running it.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Integer, Select, bindparam, func, literal, literal_column, select, union_all
from sqlmodel import col

from rekomi_mcp.storage.codes import LIVE
from rekomi_mcp.storage.engine import Reader
from rekomi_mcp.storage.prepared import Prepared
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
_SALES: Select[*tuple[Any, ...]] = (
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
_BY_CONVERSION = Prepared(
    _SALES.where(col(ConversionRow.organization_id) == _OWNER, col(ConversionRow.id) == _WANTED), SaleView._make
)
_BY_SOURCE_ID = Prepared(
    _SALES.where(
        col(SaleRow.organization_id) == _OWNER,
        # Each by itself: a tuple would be written into the statement anew at every call.
        col(SaleRow.source).in_([literal(source) for source in ("invoice", "checkout_session", "server")]),
        col(SaleRow.source_id) == _WANTED,
    ),
    SaleView._make,
)
_BY_PAYMENT = Prepared(
    _SALES.join(
        SalePaymentRow,
        (col(SalePaymentRow.organization_id) == SaleRow.organization_id)
        & (col(SalePaymentRow.source) == SaleRow.source)
        & (col(SalePaymentRow.source_id) == SaleRow.source_id),
    ).where(
        col(SaleRow.organization_id) == _OWNER,
        col(SalePaymentRow.organization_id) == _OWNER,
        col(SalePaymentRow.payment_id) == _WANTED,
    ),
    SaleView._make,
)
_OF_EMAIL = Prepared(
    _NEWEST.where(col(SaleRow.organization_id) == _OWNER, col(SaleRow.email_key) == _WANTED), SaleView._make
)
_CREDITED = (
    select(col(ConversionRow.sale_id))
    .where(col(ConversionRow.organization_id) == _OWNER, col(ConversionRow.code) == _WANTED)
    .order_by(col(ConversionRow.occurred_at).desc(), col(ConversionRow.id).desc())
    .limit(_LIMIT)
)
_CODES = Prepared(
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
    .where(col(AffiliateCodeRow.organization_id) == _OWNER, col(AffiliateCodeRow.code) == _WANTED),
    CodeView._make,
)
_SIGNUPS = Prepared(
    select(col(LeadRow.created_at), _NAME, col(LeadRow.id))
    .join(AffiliateRow, col(AffiliateRow.id) == LeadRow.affiliate_id)
    .where(col(LeadRow.organization_id) == _OWNER, col(LeadRow.email_key) == _WANTED),
    SignupView._make,
)


@lru_cache(maxsize=32)
def _of_codes(number: int) -> Prepared[SaleView]:
    """The newest sales with so many codes of one text."""
    lost = (
        select(col(SaleCodeRow.sale_id))
        .where(
            col(SaleCodeRow.organization_id) == _OWNER,
            # By what Stripe calls them, and not by a join: of one code the newest are then the end of its part of the key.
            col(SaleCodeRow.promotion_code_id).in_(_each(number)),
        )
        .order_by(col(SaleCodeRow.sale_id).desc())
        .limit(_LIMIT)
    )
    found = union_all(*(select(query.subquery().c.sale_id) for query in (_CREDITED, lost)))
    return Prepared(_NEWEST.where(col(SaleRow.id).in_(found)), SaleView._make)


@lru_cache(maxsize=32)
def _words(number: int) -> Prepared[Sequence[str]]:
    """The ids and names of so many affiliates and codes."""
    names = select(col(AffiliateRow.id), _NAME).where(
        col(AffiliateRow.organization_id) == _OWNER, col(AffiliateRow.id).in_(_each(number))
    )
    texts = select(col(AffiliateCodeRow.id), col(AffiliateCodeRow.code)).where(
        col(AffiliateCodeRow.organization_id) == _OWNER, col(AffiliateCodeRow.id).in_(_each(number))
    )
    return Prepared(union_all(names, texts), tuple)


@lru_cache(maxsize=32)
def _of_promotion_codes(number: int) -> Prepared[Sequence[str]]:
    """So many promotion codes that are somebody's, by their ids in Stripe, and their texts."""
    query: Select[*tuple[Any, ...]] = select(
        col(AffiliateCodeRow.stripe_promotion_code_id), col(AffiliateCodeRow.code)
    ).where(
        col(AffiliateCodeRow.organization_id) == _OWNER,
        col(AffiliateCodeRow.stripe_promotion_code_id).in_(_each(number)),
    )
    return Prepared(query, tuple)


def _each(number: int) -> list[BindParameter[str]]:
    return [bindparam(name) for name in _named([""] * number)]


def _named(values: Sequence[str]) -> dict[str, str]:
    """Values of which a statement wants each under a name of its own."""
    return {f"wanted_{place}": value for place, value in enumerate(values)}


def sale_of_conversion(reader: Reader, organization_id: str, conversion_id: str) -> SaleView | None:
    return _BY_CONVERSION.first(reader, _asked(organization_id, conversion_id))


def sales_by_source_id(reader: Reader, organization_id: str, source_id: str) -> list[SaleView]:
    """By the id of the sale itself, or of what paid it: a payment, a charge, the checkout of an invoice.

    One payment may have paid several; a checkout that is one sale with an invoice comes after it.
    """
    asked = _asked(organization_id, source_id)
    found = _BY_SOURCE_ID.rows(reader, asked)
    if found:
        return found[:1]
    paid = _BY_PAYMENT.rows(reader, asked)
    return sorted(paid, key=lambda sale: (sale.double_of is None, sale.occurred_at, sale.source_id), reverse=True)


def sales_of_email(reader: Reader, organization_id: str, email_key: str) -> list[SaleView]:
    """The newest sales to an address, in lower case."""
    return _OF_EMAIL.rows(reader, _asked(organization_id, email_key))


def sales_of_codes(reader: Reader, organization_id: str, found: Collection[CodeView]) -> list[SaleView]:
    """The newest sales with these codes of one text: those they were credited by, and those where they lost."""
    # A code that is still being made has no id in Stripe; a list of none would be another statement, and "" is no id.
    promotion_codes = [view.promotion_code_id for view in found if view.promotion_code_id is not None] or [""]
    asked = _asked(organization_id, next(view.code for view in found)) | _named(promotion_codes)
    return _of_codes(len(promotion_codes)).rows(reader, asked)


def codes(reader: Reader, organization_id: str, code: str) -> list[CodeView]:
    """Every code that has or had this text, the live one first, then the newest."""
    found = _CODES.rows(reader, _asked(organization_id, code))
    return sorted(found, key=lambda view: (view.status in LIVE, view.created_at), reverse=True)


def signups(reader: Reader, organization_id: str, email_key: str) -> list[SignupView]:
    """Leads with an address, in lower case, oldest first."""
    # Sorted here: to get them in order a database may walk all leads by time instead.
    return sorted(_SIGNUPS.rows(reader, _asked(organization_id, email_key)))


def words(reader: Reader, organization_id: str, ids: Collection[str]) -> dict[str, str]:
    """What to call these affiliates and codes, by id: the name, or the e-mail address when there is none; the text."""
    return _texts(reader, _words, organization_id, ids)


def texts_of_codes(reader: Reader, organization_id: str, promotion_code_ids: Collection[str]) -> dict[str, str]:
    """The texts of those promotion codes that are or were an affiliate's, by their ids in Stripe."""
    return _texts(reader, _of_promotion_codes, organization_id, promotion_code_ids)


def _texts(
    reader: Reader, query: Callable[[int], Prepared[Sequence[str]]], organization_id: str, ids: Collection[str]
) -> dict[str, str]:
    if not ids:
        return {}
    asked = {"organization_id": organization_id} | _named(list(ids))
    return {row[0]: row[1] for row in query(len(ids)).rows(reader, asked)}


def _asked(organization_id: str, wanted: str) -> dict[str, str]:
    return {"organization_id": organization_id, "wanted": wanted}
