"""Who has a claim on a sale: everything that may speak for an affiliate, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rekomi_mcp.domain.attribution import Candidate, Evidence
from rekomi_mcp.domain.sales import Referral, Sale, SubscriptionStarted, second_of
from rekomi_mcp.tools.ingest.known import CUSTOMER, SUBSCRIPTION, Known, Origin

if TYPE_CHECKING:
    from rekomi_mcp.storage.clicks import Click
    from rekomi_mcp.storage.tables import AffiliateCodeRow

CLOCKS_DIFFER = timedelta(minutes=5)
"""A click is timed by our clock and a sale by Stripe's: the one that a sale names was before it all the same."""
MOST_CLICKS = 20
"""Of one visitor, in a decision that is kept."""
MOST_LEADS = 20
"""Of one address, in a decision that is kept."""
BY_SLUG = MOST_CLICKS
"""A link that is named without a click stands behind every click."""


def claims_on_sale(known: Known, sale: Sale, origin: Origin, decided_for: str | None) -> Iterator[Candidate]:
    """The claims on a sale.

    Args:
        origin: the sale's own name as an origin: what it bound itself says nothing about it.
        decided_for: the affiliate it was credited to before. What has happened to them since takes nothing back.
    """
    if sale.referral is not None:
        yield from _named(known, sale.referral, sale.earned_at, decided_for)
    if sale.subscription_id is not None:
        yield from _bound(known, Evidence.Subscription, (SUBSCRIPTION, sale.subscription_id), origin, decided_for)
    yield from _codes(known, sale.promotion_code_ids, sale.earned_at, decided_for)
    if sale.referral is not None:
        yield from _clicks(known, sale.referral, sale.earned_at, decided_for)
    if sale.customer_id is not None:
        yield from _bound(known, Evidence.Customer, (CUSTOMER, sale.customer_id), origin, decided_for)
    if sale.customer_email is not None:
        yield from _leads(known, sale.customer_email.lower(), sale.earned_at, decided_for)


def claims_on_subscription(known: Known, fact: SubscriptionStarted) -> Iterator[Candidate]:
    """The claims on a subscription before any money: codes and clicks only."""
    yield from _codes(known, fact.promotion_code_ids, fact.occurred_at, None)
    if fact.referral is not None:
        yield from _clicks(known, fact.referral, fact.occurred_at, None)


def _named(known: Known, referral: Referral, at: datetime, decided_for: str | None) -> Iterator[Candidate]:
    affiliate = known.affiliates.get(referral.affiliate_id or "")
    if affiliate is not None:
        yield Candidate(
            Evidence.Named,
            affiliate.id,
            affiliate.program_id,
            affiliate.id,
            obstacle=_obstacle(known, affiliate.id, affiliate.program_id, at, decided_for),
        )
    code = known.codes.get(referral.code_id or "")
    if code is not None:
        yield Candidate(
            Evidence.Code,
            code.affiliate_id,
            code.program_id,
            code.code,
            code_id=code.id,
            overrides_clicks=known.overrides_clicks(code.campaign_coupon_id, at),
            obstacle=_obstacle(known, code.affiliate_id, code.program_id, at, decided_for),
        )


def _codes(
    known: Known, promotion_code_ids: Sequence[str], at: datetime, decided_for: str | None
) -> Iterator[Candidate]:
    for position, promotion_code_id in enumerate(promotion_code_ids):
        row = known.codes_by_promotion.get(promotion_code_id)
        if row is not None:
            yield Candidate(
                Evidence.Code,
                row.affiliate_id,
                row.program_id,
                promotion_code_id,
                code_id=row.id,
                position=position,
                overrides_clicks=known.overrides_clicks(row.campaign_coupon_id, at),
                obstacle=_ended(known, row, at) or _obstacle(known, row.affiliate_id, row.program_id, at, decided_for),
            )


def _ended(known: Known, row: AffiliateCodeRow, at: datetime) -> str | None:
    """An adopted coupon that is archived here lives on in Stripe, and its codes are nobody's again from then on."""
    coupon = known.coupons[row.campaign_coupon_id]
    lives_on = coupon.adopted and not coupon.ended_in_stripe
    return "coupon_archived" if lives_on and _is_over(coupon.archived_at, at) else None


def _is_over(archived_at: datetime | None, at: datetime) -> bool:
    return archived_at is not None and second_of(archived_at) <= at


def _bound(
    known: Known, evidence: Evidence, ref: tuple[str, str], origin: Origin, decided_for: str | None
) -> Iterator[Candidate]:
    binding = known.bindings.get(ref)
    if binding is not None and binding.origin.precedes(origin):
        yield Candidate(
            evidence,
            binding.affiliate_id,
            binding.program_id,
            ref[1],
            since=binding.bound_at,
            code_id=binding.code_id,
            obstacle=_obstacle(known, binding.affiliate_id, binding.program_id, origin.at, decided_for),
        )


def _leads(known: Known, email_key: str, at: datetime, decided_for: str | None) -> Iterator[Candidate]:
    """The oldest signups; further ones only until one of them may earn."""
    shown, may_earn = 0, False
    for position, lead in enumerate(known.leads.get(email_key, ())):
        if lead.since >= at if lead.is_of_sale else second_of(lead.since) > at:
            continue
        if may_earn and shown >= MOST_LEADS:
            return
        obstacle = _obstacle(known, lead.affiliate_id, lead.program_id, at, decided_for)
        if shown >= MOST_LEADS and obstacle is not None:
            continue
        yield Candidate(
            Evidence.Lead,
            lead.affiliate_id,
            lead.program_id,
            lead.id,
            since=lead.since,
            position=position,
            obstacle=obstacle,
        )
        shown, may_earn = shown + 1, may_earn or obstacle is None


def _clicks(known: Known, referral: Referral, at: datetime, decided_for: str | None) -> Iterator[Candidate]:
    """The clicks of the visitor who bought, in the order of the program's attribution model; or the link that is named."""
    visitor_id = known.visitor_of_click.get(referral.click_id or "")
    if visitor_id is not None:
        clicks = known.clicks_of_visitor.get(visitor_id, ())
        limits = ((click, at + CLOCKS_DIFFER if click.id == referral.click_id else at) for click in clicks)
        before = [click for click, limit in limits if second_of(click.occurred_at) <= limit]
        yield from _visits(known, before, at, decided_for)
    link = known.links.get(referral.slug or "")
    if visitor_id is None and link is not None:
        affiliate = known.affiliates[link.affiliate_id]
        yield Candidate(
            Evidence.Click,
            affiliate.id,
            affiliate.program_id,
            referral.slug or link.slug,
            position=BY_SLUG,
            obstacle=_obstacle(known, affiliate.id, affiliate.program_id, at, decided_for),
        )


def _visits(known: Known, before: Sequence[Click], at: datetime, decided_for: str | None) -> Iterator[Candidate]:
    """One claim an affiliate: the click that speaks best for them."""
    windows: dict[str, timedelta] = {}
    for program_id in {click.program_id for click in before}:
        windows[program_id] = timedelta(days=known.program(program_id, at).cookie_window_days)
    in_window = [click for click in before if at - click.occurred_at <= windows[click.program_id]]
    newest = known.program((in_window or before)[-1].program_id, at) if before else None
    if newest is not None and newest.attribution_model == "LastTouch":
        before, in_window = before[::-1], in_window[::-1]
    shown: set[str] = set()
    for click in (*in_window, *before):
        if click.affiliate_id in shown or len(shown) == MOST_CLICKS:
            continue
        expired = None if at - click.occurred_at <= windows[click.program_id] else "window_expired"
        yield Candidate(
            Evidence.Click,
            click.affiliate_id,
            click.program_id,
            click.id,
            since=click.occurred_at,
            click_id=click.id,
            position=len(shown),
            obstacle=expired or _obstacle(known, click.affiliate_id, click.program_id, at, decided_for),
        )
        shown.add(click.affiliate_id)


def _obstacle(known: Known, affiliate_id: str, program_id: str, at: datetime, decided_for: str | None) -> str | None:
    """Why this affiliate could not earn at that time."""
    if affiliate_id == decided_for:
        return None
    status = known.affiliate(affiliate_id, at).status
    if status != "Approved":
        return f"affiliate_{status.lower()}"
    program = known.program(program_id, at)
    if _is_over(program.archived_at, at):
        return "program_archived"
    return None if program.is_active else "program_inactive"
