"""A trial begins with a code that is nobody's yet: once it is somebody's, the customer is theirs since then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlmodel import Session, select

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.sales import SubscriptionStarted
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.storage.tables import (
    AffiliateCodeRow,
    BindingRow,
    ConversionRow,
    OrganizationRow,
    SaleRow,
    SubscriptionStartRow,
)
from tests.flows.test_reconcile import hire, own_code
from tests.support.reconciling import repair
from tests.support.shop import JsonObject, Shop
from tests.support.stripe_events import deliver, events_of
from tests.support.world import World, operate, sale, sell

pytestmark = pytest.mark.anyio
Steps = dict[str, Callable[[], Awaitable[Any]]]


class Trial:
    """Kim's trial with BLOG10, what she buys beside it without a code, and the trial's first payment."""

    def __init__(self, shop: Shop, state: State, sarah: str, code: str) -> None:
        self._shop, self._sarah, self._code = shop, sarah, code
        told = len(events_of(state))
        begun = shop.customers.checkout(
            amount=5_000, code="BLOG10", interval="month", email="kim@example.com", trial_days=14
        )
        until = len(events_of(state))
        shop.customers.advance(days=5)
        other = shop.customers.checkout(amount=3_000, customer=begun["customer"])
        first = shop.customers.renew(begun["subscription"])
        events = events_of(state)
        self.start = events[told:until]
        self.other = [e for e in events if e["data"]["object"]["id"] == other["session"]]
        # Without the news of the subscription, which would tell of its beginning again.
        self.first = [
            e for e in events if e["type"] == "invoice.paid" and e["data"]["object"]["id"] == first["invoice"]
        ]
        self.names = {begun["invoice"]: "trial", other["session"]: "other", first["invoice"]: "first"}
        [session] = [e for e in self.start if e["type"] == "checkout.session.completed"]
        self.begun_at = datetime.fromtimestamp(session["data"]["object"]["created"], UTC)

    def steps(self) -> Steps:
        return {
            "start": lambda: self._hear(self.start),
            "other": lambda: self._hear(self.other),
            "first": lambda: self._hear(self.first),
            "adoption": self.adopt,
        }

    async def _hear(self, events: list[JsonObject]) -> None:
        assert events
        await deliver(self._shop.app, *events)
        await self._shop.app.inbox.work_off()

    async def adopt(self) -> None:
        await self._shop.do("adopt_promotion_code", affiliateId=self._sarah, promotionCodeId=self._code)

    async def repair(self) -> bool:
        """Repair what was sold after the trial's beginning; False when there was nothing to do."""
        window = {"since": (self.begun_at + timedelta(days=1)).isoformat()}
        if (await self._shop.do("repair_missed_sales", **window))["confirm"] is None:
            return False
        await repair(self._shop, **window)
        return True

    def books(self) -> dict[str, Any]:
        """Each sale's outcome, grounds and commission, and since when subscription and customer are somebody's."""
        with self._shop.app.open_store().reading() as session:
            sales = {row.id: row for row in session.exec(select(SaleRow)) if row.source_id in self.names}
            conversions = session.exec(select(ConversionRow)).all()
            earned = {row.sale_id: row.remaining_minor for row in conversions}
            bound = {row.kind: row.bound_at for row in _of(session, BindingRow, self._shop.id)}
        return bound | {
            self.names[row.source_id]: (
                row.outcome,
                [claim["evidence"] for claim in row.decision["candidates"]],
                earned.get(row.id, 0),
            )
            for row in sales.values()
        }


def _of(session: Session, table: Any, organization_id: str) -> list[Any]:
    return list(session.exec(select(table).where(table.organization_id == organization_id)))


@pytest.fixture
async def trial(shop: Shop, state: State) -> Trial:
    sarah, code = await hire(shop), await own_code(shop)
    await shop.catch_up()
    return Trial(shop, state, sarah, code)


def as_if_adopted_before(trial: Trial) -> dict[str, Any]:
    return {
        "subscription": trial.begun_at,
        "customer": trial.begun_at,
        "trial": ("free", ["subscription", "code", "customer"], 0),
        "other": ("credited", ["customer", "lead"], 600),
        "first": ("credited", ["subscription", "code", "customer", "lead"], 900),
    }


@pytest.mark.parametrize("order", list(permutations(("start", "other", "first", "adoption"))), ids="-".join)
async def test_in_whatever_order_it_is_told_and_adopted_the_books_are_the_same(
    trial: Trial, order: tuple[str, ...]
) -> None:
    steps = trial.steps()
    for name in order:
        await steps[name]()
    # Adopting claims nothing by itself. Any news of the customer afterwards does, and else a repair.
    assert await trial.repair() is (order[-1] == "adoption")
    assert trial.books() == as_if_adopted_before(trial)
    assert await trial.repair() is False


async def test_an_adoption_changes_no_sale_and_the_explanation_says_what_would(shop: Shop, trial: Trial) -> None:
    for name, step in trial.steps().items():
        if name != "first":
            await step()
    books = trial.books()
    assert (books["trial"], books["other"]) == (("no_claim", [], 0), ("no_claim", [], 0))
    source = next(source for source, name in trial.names.items() if name == "other")
    told = await shop.do("explain_attribution", sourceId=source)
    assert told["explanation"].endswith(
        "The customer had begun a subscription with the code BLOG10, which was nobody's here then and is an "
        "affiliate's now: decide the sale again with repair_missed_sales."
    )
    assert await trial.repair() is True
    assert (await shop.do("explain_attribution", sourceId=source))["outcome"] == "credited"


async def test_of_what_is_told_again_and_again_the_earliest_telling_is_kept_once(shop: Shop, trial: Trial) -> None:
    again = [{**event, "id": f"{event['id']}again"} for event in trial.start]
    for event in (*trial.start[::-1], *again, *trial.start):
        await deliver(shop.app, event)
        await shop.app.inbox.work_off()
    with shop.app.open_store().reading() as session:
        [kept] = session.exec(select(SubscriptionStartRow)).all()
        assert (kept.occurred_at, kept.at_checkout) == (trial.begun_at, True)


@pytest.mark.parametrize("begun_at", ["acme", "neighbour"])
async def test_beginnings_and_codes_of_two_brands_have_nothing_to_do_with_each_other(
    app: App, world: World, begun_at: str
) -> None:
    """Brands whose Stripe ids are the same, as of one account that was linked to the one and then to the other."""
    at = app.clock() - timedelta(hours=1)
    begun = {"acme": world.acme, "neighbour": world.neighbour}[begun_at]
    await sell(app, begun.id, SubscriptionStarted("sub_kim", "cus_kim", "evt_start", at, ("promo_later",), told_at=at))
    with app.open_store().writing() as session:
        session.get_one(OrganizationRow, world.acme.id).has_adopted_starts = True
        session.get_one(AffiliateCodeRow, world.neighbour.code).stripe_promotion_code_id = "promo_later"
    await sell(app, world.acme.id, sale("in_1", at=at + timedelta(minutes=1), customer_id="cus_kim"))
    told = await operate(app, "explain_attribution", {"sourceId": "in_1"}, System(world.acme.id))
    assert (told["outcome"], told["candidates"]) == ("no_claim", [])
    assert "No affiliate had a claim" in told["explanation"]
    with app.open_store().reading() as session:
        assert {row.organization_id for row in session.exec(select(SubscriptionStartRow))} == {begun.id}
        assert _of(session, BindingRow, world.acme.id) == []
