"""Random times away, subscriptions and repairs: at no moment more is credited than is due, and repaired whole it is all.

`OUTAGES` sets how many histories are tried; they are the same in every run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import rekomi_mcp.storage as storage
from rekomi_mcp.tools.reconciling import stripe_walk
from tests.support.shop import JsonObject, Shop

pytestmark = pytest.mark.anyio
Act = Callable[[], Awaitable[None]]
SECOND = timedelta(seconds=1)
HISTORIES = range(int(os.environ.get("OUTAGES", "5")))


@dataclass
class Subscription:
    """What is known of it to whoever looks at Stripe and at the signups."""

    id: str
    email: str
    has_code: bool
    paid: list[tuple[str, datetime]] = field(default_factory=list[tuple[str, datetime]])
    """Its invoices over more than nothing, in order."""
    signed_up_at: datetime | None = None

    def due(self, renewals: int) -> set[str]:
        """The invoices that earn: the first payment and so many renewals, from the code or the signup on."""
        return {
            invoice
            for invoice, at in self.paid[: renewals + 1]
            if self.has_code or (self.signed_up_at is not None and at > self.signed_up_at)
        }


@dataclass
class History:
    shop: Shop
    dice: random.Random
    affiliate: str
    renewals: int
    began: datetime
    subscriptions: list[Subscription] = field(default_factory=list[Subscription])
    left_at: datetime | None = None
    """Since when the server has been away."""
    was_there: bool = False
    """Whether it ever read Stripe's events: only then it knows that it was away."""
    told: list[object] = field(default_factory=list[object])

    def acts_there(self) -> tuple[Sequence[Act], Sequence[int]]:
        """What may happen while the server is there, by how often."""
        acts = [self.subscribe, self.renew, self.sign_up, self.wait, self.leave_or_come_back, self.repair]
        return acts, [1, 5, 2, 2, 1, 5]

    def acts_away(self) -> tuple[Sequence[Act], Sequence[int]]:
        return [self.subscribe, self.renew, self.sign_up, self.wait, self.leave_or_come_back], [3, 6, 1, 3, 1]

    async def subscribe(self) -> None:
        if len(self.subscriptions) == 4:
            return
        has_code, trial = self.dice.random() < 0.5, self.dice.random() < 0.3
        email = f"kim{len(self.subscriptions)}@example.com"
        more: Any = {"code": "SARAH20"} if has_code else {}
        more |= {"trial_days": 5} if trial else {}
        sold = self.shop.customers.checkout(amount=10_000, email=email, interval="week", **more)
        self.subscriptions.append(Subscription(sold["subscription"], email, has_code))
        self.told.append((email, sold["subscription"], more))

    async def renew(self) -> None:
        if self.subscriptions:
            self.shop.customers.renew(self.dice.choice(self.subscriptions).id)

    async def sign_up(self) -> None:
        """An old customer comes by Sarah's link."""
        if not self.subscriptions:
            return
        subscription = self.dice.choice(self.subscriptions)
        if subscription.signed_up_at is None:
            self.shop.customers.advance(seconds=7)
            subscription.signed_up_at = self.shop.app.clock()
            await self.shop.do("record_lead", affiliateId=self.affiliate, email=subscription.email)
            self.shop.customers.advance(seconds=7)

    async def wait(self) -> None:
        self.shop.customers.advance(days=self.dice.randint(1, 5))

    async def leave_or_come_back(self) -> None:
        self.shop.customers.advance(days=1)
        now = self.shop.app.clock()
        if self.left_at is None:
            self.left_at = now
            return
        lost = storage.inbox.Span(self.left_at, now) if self.was_there else None
        with self.shop.app.open_store().writing() as session:
            storage.inbox.set_read_until(session, "self", now, lost)
        self.left_at, self.was_there = None, True

    async def repair(self) -> None:
        """From after some payment until after another, or up to now."""
        now = self.shop.app.clock()
        paid = [at + SECOND for each in self.subscriptions for _, at in each.paid if now - at > SECOND]
        since, until = sorted(self.dice.choice([self.began, *paid]) for _ in range(2))
        closed = until > since and self.dice.random() < 0.6
        span = {"since": since.isoformat()} | ({"until": until.isoformat()} if closed else {})
        await self.put_right(**span)

    async def put_right(self, **span: str) -> bool:
        """Repair it; whether there was anything to repair."""
        plan = await self.shop.do("repair_missed_sales", **span)
        if plan["confirm"] is not None:
            await self.shop.do("repair_missed_sales", **span, confirm=plan["confirm"])
        self.told.append((span, plan["summary"]))
        return plan["confirm"] is not None

    async def due(self) -> set[str]:
        """The invoices that earn, as Stripe has them now."""
        client = await self.shop.app.stripe.client()
        invoices = (await client.v1.invoices.list_async({"status": "paid", "limit": 100})).auto_paging_iter()
        told: list[JsonObject] = [invoice.to_dict() async for invoice in invoices]
        for each in self.subscriptions:
            own = (i for i in told if i["parent"]["subscription_details"]["subscription"] == each.id and i["total"] > 0)
            paid = sorted((invoice["status_transitions"]["paid_at"], invoice["id"]) for invoice in own)
            each.paid = [(invoice, datetime.fromtimestamp(at, UTC)) for at, invoice in paid]
        return {invoice for each in self.subscriptions for invoice in each.due(self.renewals)}

    async def earned(self) -> set[str]:
        found = await self.shop.conversions(take=200)
        return {str(each["externalEventId"]) for each in found if each["status"] != "Denied"}


async def begin(shop: Shop, dice: random.Random) -> History:
    renewals = dice.choice([0, 1, 1, 2, 3])
    program = await shop.open_program(recurringMonths=renewals)
    deal = await shop.sign(program=program, coupon={"duration": dice.choice(["Forever", "Once"])})
    await shop.catch_up()
    shop.customers.advance(days=2)
    return History(shop, dice, deal.affiliate, renewals, shop.app.clock(), left_at=shop.app.clock())


async def repair_everything(history: History) -> None:
    """In pieces, from either end, until nothing is found."""
    now, length = history.shop.app.clock(), timedelta(days=history.dice.choice([11, 30, 80]))
    edges = [history.began + n * length for n in range((now - history.began) // length + 1)]
    spans = [{"since": since.isoformat(), "until": (since + length).isoformat()} for since in edges]
    if history.dice.random() < 0.5:
        spans.reverse()
    for _ in range(len(spans) + 2):
        if not any([await history.put_right(**span) for span in spans]):
            return
    pytest.fail("a repair never ends")


@pytest.mark.parametrize("seed", HISTORIES)
async def test_never_more_is_credited_than_is_due_and_in_the_end_all_of_it(
    shop: Shop, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)
    if dice.random() < 0.3:
        monkeypatch.setattr(stripe_walk, "MOST_LOOKUPS", 1)
    history = await begin(shop, dice)
    for _ in range(dice.randint(20, 35)):
        act = dice.choices(*(history.acts_there() if history.left_at is None else history.acts_away()))[0]
        history.told.append(act.__name__)
        await act()
        if history.left_at is None:
            await shop.catch_up()
        assert await history.earned() <= await history.due(), history.told
    if history.left_at is not None:
        await history.leave_or_come_back()
    await shop.catch_up()
    await repair_everything(history)
    assert await history.earned() == await history.due(), history.told
    assert (await shop.do("tracking_health"))["healthy"]
