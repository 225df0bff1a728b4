"""A checkout and an invoice with one payment are one sale, whichever is told first: the invoice's.

Stripe tells of a checkout before it writes the checkout's invoice, or a merchant attaches a payment to an invoice later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from rekomi_mcp.domain.sales import Fact, Payment, Referral, Sale, SaleReference, SaleSource
from rekomi_mcp.tools.ingest.known import key_of
from rekomi_mcp.tools.ingest.payments import Payments, SaleKey

_INVOICE, _CHECKOUT = SaleSource.Invoice.value, SaleSource.CheckoutSession.value


def checkout_key(sale: Sale) -> SaleKey:
    """The checkout an invoice's sale was told with; it has no sale of its own where everything came in order."""
    return _CHECKOUT, sale.checkout_id or ""


def find_doubles(
    facts: Sequence[Fact], payments: Payments, stored: Collection[SaleKey]
) -> dict[SaleKey, list[SaleKey]]:
    """Checkouts with the invoices they are one sale with, where both are stored or told here, and one is news.

    Invoices that share a payment are sales of their own: each is paid with a part of it.
    """
    sold = _sales_of(facts)
    there = {*stored, *sold}
    if not any(source == _CHECKOUT for source, _ in there):
        return {}
    found: dict[SaleKey, set[SaleKey]] = {}
    told, seen = _told_of(facts), set[str]()
    news = {p for p, keys in told.items() if keys & sold or keys - payments.paid([p]).keys()}
    news |= {payment_id for key in sold for payment_id in payments.of(key)}
    while news:
        payment_id = news.pop()
        seen.add(payment_id)
        keys = there & (told.get(payment_id, set()) | payments.paid([payment_id]).keys())
        invoices = {key for key in keys if key[0] == _INVOICE}
        checkouts = {key for key in keys if key[0] == _CHECKOUT} if invoices else set[SaleKey]()
        for key in checkouts:
            found.setdefault(key, set()).update(invoices)
        if checkouts:
            # Another checkout may have paid another part of the invoice: what is known of it counts with the news.
            news |= {other for key in keys for other in payments.of(key)} - seen
    return {key: sorted(invoices) for key, invoices in sorted(found.items())}


def join_doubles(
    facts: Sequence[Fact], doubles: Mapping[SaleKey, Sequence[SaleKey]], stored: Mapping[SaleKey, Sale]
) -> list[Fact]:
    """The facts, with what each checkout knows of codes and clicks told of its invoices as well."""
    told = _sales_of(facts)
    concerned = {*doubles, *(invoice for invoices in doubles.values() for invoice in invoices)}
    joined: list[Fact] = [*facts, *(stored[key] for key in sorted(concerned - told))]
    checkouts: dict[SaleKey, list[Sale]] = {}
    sales = [stored[key] for key in doubles if key in stored]
    for fact in joined:
        if isinstance(fact, Sale):
            # Its time is what was told first: a repair reads it off the charge, which may be seconds earlier.
            known = stored.get(key_of(fact), fact)
            sales.append(replace(fact, occurred_at=known.occurred_at))
    for sale in sorted(sales, key=lambda sale: (sale.occurred_at, sale.source_id)):
        for invoice in doubles.get(key_of(sale), ()):
            checkouts.setdefault(invoice, []).append(sale)
    return [
        _joined(fact, checkouts[key_of(fact)]) if isinstance(fact, Sale) and key_of(fact) in checkouts else fact
        for fact in joined
    ]


def _sales_of(facts: Iterable[Fact]) -> set[SaleKey]:
    return {key_of(fact) for fact in facts if isinstance(fact, Sale)}


def _told_of(facts: Iterable[Fact]) -> dict[str, set[SaleKey]]:
    """The sales that each payment is told to have paid; a checkout's own id counts as its payment."""
    found: dict[str, set[SaleKey]] = {}
    for payment_id, key in _told(facts):
        found.setdefault(payment_id, set()).add(key)
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
    return replace(
        invoice,
        promotion_code_ids=tuple(dict.fromkeys(codes)),
        referral=_referral((*checkouts, invoice)),
        customer_email=_email(invoice, checkouts),
        payments=(*invoice.payments, *_others(invoice, checkouts)),
        begun_at=min(sale.occurred_at for sale in checkouts),
    )


def _email(invoice: Sale, checkouts: Sequence[Sale]) -> str | None:
    """The invoice's own address, but that of its first checkout where it has none, or one that a checkout may have told."""
    told = [sale.customer_email for sale in checkouts if sale.customer_email]
    own = (invoice.customer_email or "").lower()
    is_told = not own or own in (email.lower() for email in told)
    return told[0] if told and is_told else invoice.customer_email


def _others(invoice: Sale, checkouts: Sequence[Sale]) -> Iterator[Payment]:
    """What paid the checkouts and is not told of the invoice; how much of it went into that, they cannot say."""
    told = set(invoice.payment_ids)
    for payment_id in dict.fromkeys(p for sale in checkouts for p in sale.payment_ids):
        if payment_id not in told:
            yield Payment(payment_id)


def _referral(sales: Sequence[Sale]) -> Referral | None:
    merged: Referral | None = None
    for sale in sales:
        merged = sale.referral.merged(merged) if sale.referral is not None else merged
    return merged
