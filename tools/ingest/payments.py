"""Which sales a payment paid: mostly one, but a merchant may put one payment on several invoices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.sales import Payment

if TYPE_CHECKING:
    from rekomi_mcp.operation import Context

SaleKey = tuple[str, str]
"""A sale's source and source id."""
Parts = dict[SaleKey, int | None]
"""The sales that were paid, with what went into each where that is told."""


def _parts() -> dict[str, Parts]:
    return {}


@dataclass(slots=True)
class Payments:
    """What paid what, as far as the batch needs it; each payment and sale is read once."""

    _paid: dict[str, Parts] = field(default_factory=_parts)
    _of_sale: dict[SaleKey, set[str]] = field(default_factory=dict[SaleKey, set[str]])
    _read_payments: set[str] = field(default_factory=set[str])
    _read_sales: set[SaleKey] = field(default_factory=set[SaleKey])

    def read(self, context: Context, payment_ids: Iterable[str]) -> None:
        """Every sale that these paid."""
        wanted = set(payment_ids) - self._read_payments
        self._read_payments |= wanted
        self._add(storage.sale_payments.of_payments(context.session, context.organization_id, wanted))

    def read_of(self, context: Context, keys: Iterable[SaleKey]) -> None:
        """Every payment of these sales."""
        wanted = set(keys) - self._read_sales
        self._read_sales |= wanted
        self._add(storage.sale_payments.of_sales(context.session, context.organization_id, wanted))

    def _add(self, rows: Iterable[storage.sale_payments.Part]) -> None:
        for row in rows:
            self.note(Payment(row.payment_id, row.amount_minor), (row.source, row.source_id))

    def note(self, payment: Payment, key: SaleKey) -> bool:
        """Remember what paid a sale; False when that says nothing new."""
        paid = self._paid.setdefault(payment.id, {})
        before = paid.get(key)
        if key in paid and (payment.amount_minor is None or payment.amount_minor <= (before or 0)):
            return False
        paid[key] = payment.amount_minor
        self._of_sale.setdefault(key, set()).add(payment.id)
        return True

    def is_known(self, payment_id: str, key: SaleKey) -> bool:
        """Whether it is known that this paid that."""
        return key in self._paid.get(payment_id, ())

    def of(self, key: SaleKey) -> Iterable[str]:
        """What paid a sale."""
        return self._of_sale.get(key, ())

    def paid(self, payment_ids: Iterable[str]) -> Parts:
        """What a payment paid. It may go by two names, a payment intent's and a charge's."""
        found: Parts = {}
        for payment_id in payment_ids:
            for key, amount in self._paid.get(payment_id, {}).items():
                found[key] = found.get(key) if amount is None else amount
        return found

    def sales(self) -> set[SaleKey]:
        """Every sale of which a payment is known."""
        return set(self._of_sale)
