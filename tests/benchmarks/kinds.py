"""The ingest engine by kind of event, each beside its floor: the same statements once more, without any decision."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from rekomi_mcp.app import App
from rekomi_mcp.domain.sales import Fact, Payment, Reversal, ReversalKind, ReversalStatus, Sale, SaleSource
from rekomi_mcp.workers.inbox import BATCH
from tests.benchmarks.figures import Figure
from tests.benchmarks.ingest import beside_floor, receive, work_off
from tests.benchmarks.stores import Filled

BATCHES = 5


class Teller:
    """Makes facts by number: what is told of customer `n` under this name."""

    def __init__(self, filled: Filled, name: str, now: datetime) -> None:
        self._filled, self._name, self._now = filled, name, now

    def checkout(self, n: int) -> Fact:
        return self._sale(n, "checkout", 0, source=SaleSource.CheckoutSession, promotion_code_ids=self._code(n))

    def first_invoice(self, n: int) -> Fact:
        return self._sale(n, "first", 0, subscription_id=f"sub_{self._name}_{n}", promotion_code_ids=self._code(n))

    def renewal(self, n: int) -> Fact:
        return self._sale(n, "renewal", 30, subscription_id=f"sub_{self._name}_{n}")

    def with_another_code(self, n: int) -> Fact:
        return self._sale(n, "another", 1, promotion_code_ids=self._code(n + 1))

    def without_code(self, n: int) -> Fact:
        return self._sale(n, "without", 2)

    def refund(self, n: int) -> Fact:
        return self._reversal(n, "re", ReversalKind.Refund, ReversalStatus.Succeeded, 1, 2200)

    def dispute_opened(self, n: int) -> Fact:
        return self._reversal(n, "du", ReversalKind.Dispute, ReversalStatus.Open, 1, 4400)

    def dispute_lost(self, n: int) -> Fact:
        return self._reversal(n, "du", ReversalKind.Dispute, ReversalStatus.Succeeded, 9, 4400)

    def credit_note(self, n: int) -> Fact:
        of = (SaleSource.Invoice, f"first_{self._name}_{n}")
        return self._reversal(n, "cn", ReversalKind.CreditNote, ReversalStatus.Succeeded, 1, 1100, sale=of)

    def _code(self, n: int) -> tuple[str, ...]:
        return (self._filled.brand.promotion_code(n),)

    def _sale(self, n: int, what: str, day: int, **more: Any) -> Sale:
        return Sale(
            source=more.pop("source", SaleSource.Invoice),
            source_id=f"{what}_{self._name}_{n}",
            event_id=f"evt_{what}_{self._name}_{n}",
            occurred_at=self._now + timedelta(days=day, seconds=n),
            currency="USD",
            net_minor=4000,
            gross_minor=4400,
            customer_id=f"cus_{self._name}_{n}",
            customer_email=f"{self._name}-{n}@example.com",
            payments=(Payment(f"pi_{what}_{self._name}_{n}"),),
            **more,
        )

    def _reversal(
        self,
        n: int,
        prefix: str,
        kind: ReversalKind,
        status: ReversalStatus,
        day: int,
        minor: int,
        sale: tuple[SaleSource, str] | None = None,
    ) -> Reversal:
        at = self._now + timedelta(days=day, seconds=n)
        return Reversal(
            id=f"{prefix}_{self._name}_{n}",
            kind=kind,
            event_id=f"evt_{prefix}_{status.value}_{self._name}_{n}",
            occurred_at=at,
            currency="USD",
            amount_minor=minor,
            status=status,
            payment_intent_id=None if sale else f"pi_checkout_{self._name}_{n}",
            told_at=at,
            sale=sale,
        )


Told = Callable[[Teller, int], Fact]
KINDS: dict[str, tuple[list[Told], Told]] = {
    "checkouts": ([], Teller.checkout),
    "first invoices": ([], Teller.first_invoice),
    "renewals": ([Teller.first_invoice], Teller.renewal),
    "refunds": ([Teller.checkout], Teller.refund),
    "disputes opened": ([Teller.checkout], Teller.dispute_opened),
    "disputes lost": ([Teller.checkout, Teller.dispute_opened], Teller.dispute_lost),
    "credit notes": ([Teller.first_invoice], Teller.credit_note),
    # The customer's first sale comes last, and a later one moves to another affiliate.
    "late sales that decide again": ([Teller.with_another_code, Teller.without_code], Teller.checkout),
}
"""What was told before, and what is measured."""


async def measure(filled: Filled) -> list[Figure]:
    app = App(filled.settings)
    async with app.running():
        return [await _measure(app, filled, name, *told) for name, told in KINDS.items()]


async def _measure(app: App, filled: Filled, name: str, before: list[Told], told: Told) -> Figure:
    brand = Teller(filled, name.replace(" ", "-"), app.clock())
    numbers = [range(start, start + BATCH) for start in range(0, (BATCHES + 1) * BATCH, BATCH)]
    for earlier in before:
        for batch in numbers:
            facts = [earlier(brand, n) for n in batch]
            receive(app.open_store(), facts, app.clock())
            await work_off(app, filled, facts)
    ours, floor = await beside_floor(app, filled, [[told(brand, n) for n in batch] for batch in numbers])
    what = f"ingest of {name} / the same statements alone"
    return Figure(what, filled.name, ours, floor, "events/s", ours / floor, "", None)
