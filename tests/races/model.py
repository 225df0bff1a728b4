"""The rules on attribution in a small model that shares no code with the engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from math import floor
from typing import Any

from rekomi_mcp.domain.sales import (
    Payment,
    Reversal,
    ReversalStatus,
    Sale,
    SaleSource,
    SubscriptionStarted,
)
from tests.races.histories import CLICKS, CODES, LEADS, RATES, WINDOW_DAYS, Books, History, day

NONE = Fraction(0)
Winner = tuple[str, str | None]
"""An affiliate, and the code by which they won."""


@dataclass
class Model:
    """The rules of `DESIGN`'s part on attribution, applied to everything in the order in which it happened."""

    history: History
    bound: dict[str, Winner] = field(default_factory=dict[str, Winner])
    leads: dict[str, list[tuple[datetime, str]]] = field(default_factory=lambda: defaultdict(list))
    """By address: of sales that cost nothing."""
    won: set[str] = field(default_factory=set[str])
    """Sales that somebody has a claim to: one that its checkout gave to nobody is looked at again at its own time."""
    conversions: list[tuple[str, str, int, int, str]] = field(default_factory=list[Any])

    def books(self) -> Books:
        sales = [self._with_checkout(sale) for sale in self.history.sales]
        again = [replace(sale, begun_at=None) for sale in sales if sale.begun_at is not None]
        for step in sorted((*sales, *again, *self.history.checkouts, *self.history.started), key=_moment):
            if isinstance(step, Sale) and step.source is SaleSource.CheckoutSession:
                self._bind(self._winner(step), step)
            elif isinstance(step, Sale):
                if step.source_id not in self.won:
                    self._sell(step)
            else:
                won = next(self._claims(step), None)
                self._bind(won, step)
        sums: dict[tuple[str, str], int] = defaultdict(int)
        for _, name, _, remaining, _ in self.conversions:
            sums[name, "USD"] += remaining
        return {
            "conversions": sorted(self.conversions),
            "balances": {key: value for key, value in sums.items() if value},
            "held": {each[0]: each[3] for each in self.conversions if each[3] and self._is_disputed(each[0])},
            "bound": sorted((("subscription" if r[0] == "s" else "customer"), r, w[0]) for r, w in self.bound.items()),
        }

    def _with_checkout(self, sale: Sale) -> Sale:
        """An invoice's sale with what the checkouts say where its payments were made: at the first of them it was sold."""
        made = [c for c in self.history.checkouts if c.payment_ids[0] in sale.payment_ids]
        if not made:
            return sale
        made.sort(key=lambda checkout: (checkout.occurred_at, checkout.source_id))
        codes = [code for each in (*made, sale) for code in each.promotion_code_ids]
        referrals = [checkout.referral for checkout in made if checkout.referral is not None]
        return replace(
            sale,
            promotion_code_ids=tuple(dict.fromkeys(codes)),
            referral=min(referrals, key=lambda referral: referral.click_id or "", default=sale.referral),
            customer_email=self._email(sale, [c.customer_email for c in made if c.customer_email]),
            begun_at=made[0].occurred_at,
        )

    def _email(self, sale: Sale, of_checkouts: Sequence[str]) -> str | None:
        own = sale.customer_email
        if own is not None and own.lower() not in {email.lower() for email in of_checkouts}:
            return own
        return of_checkouts[0] if of_checkouts else None

    def _sell(self, sale: Sale) -> None:
        won = self._winner(sale)
        self._bind(won, sale)
        if won is None:
            return
        self.won.add(sale.source_id)
        if sale.net_minor <= 0:
            if sale.customer_email is not None and not self._paid_before(sale):
                self.leads[sale.customer_email.lower()].append((sale.occurred_at, won[0]))
            return
        if sale.subscription_id is not None and not self._earns(sale):
            return
        rate = RATES.get(won[1] or "") or self.history.changes.rate(_at(sale))
        commission = _half_up(rate * sale.net_minor)
        gone = min(Fraction(sale.gross_minor), sum((self._gone(steps, sale) for steps in self.history.reversals), NONE))
        left = _half_up(Fraction(commission * (sale.gross_minor - gone), sale.gross_minor))
        state = "Refunded" if gone == sale.gross_minor else "Open"
        self.conversions.append((sale.source_id, won[0], commission, left, state))

    def _winner(self, sale: Sale) -> Winner | None:
        of_subscription = self.bound.get(sale.subscription_id or "")
        if of_subscription is None:
            return next(self._claims(sale), None) or self._earlier(sale)
        if not self._may_earn(of_subscription[0], sale):
            return None
        own = next((c for c in sale.promotion_code_ids if CODES.get(c) == of_subscription[0]), None)
        return (of_subscription[0], own) if own is not None else of_subscription

    def _may_earn(self, name: str, fact: Sale | SubscriptionStarted) -> bool:
        return self.history.changes.may_earn(name, _at(fact))

    def _claims(self, fact: Sale | SubscriptionStarted) -> Iterator[Winner]:
        yield from (claim for claim in self._all_claims(fact) if self._may_earn(claim[0], fact))

    def _all_claims(self, fact: Sale | SubscriptionStarted) -> Iterator[Winner]:
        codes = [code for code in fact.promotion_code_ids if code in CODES]
        yield from ((CODES[code], code) for code in codes if code == "promo_sarah")
        if fact.referral is not None and fact.referral.click_id is not None:
            visitor, _, _ = CLICKS[fact.referral.click_id]
            clicks = [(number, name) for who, name, number in CLICKS.values() if who == visitor]
            in_window = [c for c in clicks if timedelta() <= _at(fact) - day(c[0]) <= timedelta(WINDOW_DAYS)]
            yield from ((name, None) for _, name in sorted(in_window, reverse=True))
        yield from ((CODES[code], code) for code in codes if code == "promo_tom")

    def _earlier(self, sale: Sale) -> Winner | None:
        won = self.bound.get(sale.customer_id or "")
        if won is not None and self._may_earn(won[0], sale):
            return won
        email = (sale.customer_email or "").lower()
        leads = [(day(number), name) for name, number in LEADS.get(email, ()) if day(number) <= _at(sale)]
        leads += [(since, name) for since, name in self.leads[email] if since < _at(sale)]
        may_earn = [lead for lead in leads if self._may_earn(lead[1], sale)]
        return (min(may_earn)[1], None) if may_earn else None

    def _earns(self, sale: Sale) -> bool:
        index = self._paid_before(sale)
        months, delay = self.history.renewals.months, self.history.renewals.delay
        return index >= delay and (months is None or index - delay <= months)

    def _paid_before(self, sale: Sale) -> int:
        told = {other.source_id for other in self.history.sales}
        untold = sum(
            other.subscription_id == sale.subscription_id
            and other.invoice_id not in told
            and other.occurred_at < sale.occurred_at
            for other in self.history.earlier
        )
        return untold + sum(
            other.subscription_id == sale.subscription_id
            and other.is_counted
            and other.net_minor > 0
            and other.occurred_at < sale.occurred_at
            for other in self.history.sales
            if sale.subscription_id is not None
        )

    def _is_disputed(self, source_id: str) -> bool:
        payments = {p for sale in self.history.sales if sale.source_id == source_id for p in sale.payment_ids}
        return any(
            steps[-1].status is ReversalStatus.Open and steps[-1].payment_intent_id in payments
            for steps in self.history.reversals
        )

    def _gone(self, steps: Sequence[Reversal], sale: Sale) -> Fraction:
        """What a reversal has taken away at the end: of a payment of several sales a part, by what each was paid of it."""
        last = steps[-1]
        if last.status is not ReversalStatus.Succeeded:
            return NONE
        if last.sale is not None:
            return Fraction(last.amount_minor) if last.sale[1] == sale.source_id else NONE
        paid = {
            s.source_id: _paid(s, p) for s in self.history.sales for p in s.payments if p.id == last.payment_intent_id
        }
        whole = sum(paid.values())
        return Fraction(last.amount_minor * paid.get(sale.source_id, 0), whole) if whole else NONE

    def _bind(self, won: Winner | None, fact: Sale | SubscriptionStarted) -> None:
        for ref in (fact.subscription_id, fact.customer_id):
            if won is not None and ref is not None:
                self.bound.setdefault(ref, won)


def _moment(step: Sale | SubscriptionStarted) -> tuple[datetime, int, str]:
    if isinstance(step, Sale):
        return _at(step), 2, f"{step.source.value}:{step.source_id}"
    return step.occurred_at, 0 if step.at_checkout else 1, step.subscription_id


def _at(fact: Sale | SubscriptionStarted) -> datetime:
    """The time that counts."""
    begun = fact.begun_at if isinstance(fact, Sale) else None
    return fact.occurred_at if begun is None else min(begun, fact.occurred_at)


def _paid(sale: Sale, payment: Payment) -> int:
    return sale.gross_minor if payment.amount_minor is None else payment.amount_minor


def _half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))
