"""A checkout and an invoice with one payment are one sale, whichever is told first: the invoice's.

Stripe tells of a checkout before it writes the checkout's invoice, or a merchant attaches a payment to an invoice later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from rekomi_mcp.domain.sales import Fact, Referral, Sale, SaleReference, SaleSource
from rekomi_mcp.tools.ingest.known import SaleKey, key_of

_INVOICE, _CHECKOUT = SaleSource.Invoice.value, SaleSource.CheckoutSession.value


def checkout_key(sale: Sale) -> SaleKey:
    """The checkout an invoice's sale was told with; it has no sale of its own where everything came in order."""
    return _CHECKOUT, sale.checkout_id or ""


def find_doubles(
    facts: Sequence[Fact], sale_of_payment: Mapping[str, SaleKey], stored: Collection[SaleKey]
) -> dict[SaleKey, SaleKey]:
    """Checkouts with the invoice they are one sale with, where both are stored or told here.

    Two invoices may share a payment and are two sales: each is paid with a part of it.
    """
    there = {*stored, *(key_of(fact) for fact in facts if isinstance(fact, Sale))}
    found: dict[SaleKey, SaleKey] = {}
    for keys in _by_payment(facts, sale_of_payment).values():
        invoices = sorted(key for key in keys & there if key[0] == _INVOICE)
        for key in keys & there if invoices else ():
            if key[0] == _CHECKOUT:
                found[key] = min(invoices[0], found.get(key, invoices[0]))
    return found


def join_doubles(
    facts: Sequence[Fact], doubles: Mapping[SaleKey, SaleKey], stored: Mapping[SaleKey, Sale]
) -> list[Fact]:
    """The facts, with what each checkout knows of codes and clicks told of its invoice as well."""
    told = {key_of(fact) for fact in facts if isinstance(fact, Sale)}
    joined: list[Fact] = [*facts, *(stored[key] for key in {*doubles, *doubles.values()} - told)]
    checkouts: dict[SaleKey, list[Sale]] = {}
    for fact in [*(stored[key] for key in doubles.keys() & stored.keys()), *joined]:
        if isinstance(fact, Sale) and (invoice := doubles.get(key_of(fact))) is not None:
            checkouts.setdefault(invoice, []).append(fact)
    return [
        _joined(fact, checkouts[key_of(fact)]) if isinstance(fact, Sale) and key_of(fact) in checkouts else fact
        for fact in joined
    ]


def _by_payment(facts: Sequence[Fact], sale_of_payment: Mapping[str, SaleKey]) -> dict[str, set[SaleKey]]:
    """Every sale that a payment is known or told to have paid; a checkout's own id counts as its payment."""
    found: dict[str, set[SaleKey]] = {payment: {key} for payment, key in sale_of_payment.items()}
    for payment, key in _told(facts):
        found.setdefault(payment, set()).add(key)
    return found


def _told(facts: Iterable[Fact]) -> Iterator[tuple[str, SaleKey]]:
    for fact in facts:
        if isinstance(fact, SaleReference):
            yield fact.payment_id, (fact.source.value, fact.source_id)
        elif isinstance(fact, Sale):
            yield from ((payment, key_of(fact)) for payment in fact.payment_ids)
            if fact.checkout_id is not None:
                yield fact.checkout_id, key_of(fact)
                yield fact.checkout_id, checkout_key(fact)


def _joined(invoice: Sale, checkouts: Sequence[Sale]) -> Sale:
    """The invoice's sale with what its checkout says, as if the checkout had named its invoice."""
    codes = [code for sale in (*checkouts, invoice) for code in sale.promotion_code_ids]
    email = next((sale.customer_email for sale in checkouts if sale.customer_email), None)
    return replace(
        invoice,
        promotion_code_ids=tuple(dict.fromkeys(codes)),
        referral=_referral(checkouts) or invoice.referral,
        customer_email=invoice.customer_email or email,
        payment_ids=tuple(dict.fromkeys(p for sale in (invoice, *checkouts) for p in sale.payment_ids)),
    )


def _referral(checkouts: Sequence[Sale]) -> Referral | None:
    return next((sale.referral for sale in checkouts if sale.referral is not None), None)
