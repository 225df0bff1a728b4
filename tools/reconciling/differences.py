"""What Stripe knows beside what the books say: every difference, and what bringing the books up to date would do.

The engine itself decides, on what Stripe told, without writing: so a difference is what ingest would have made otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.sales import Reversal, Sale
from rekomi_mcp.operation import Context
from rekomi_mcp.tools.ingest import decide_facts
from rekomi_mcp.tools.ingest.known import DENIED, Known, Recorded, SaleKey, key_of
from rekomi_mcp.tools.ingest.reversing import part_of
from rekomi_mcp.tools.ingest.stored import reversal_of
from rekomi_mcp.tools.ingest.terms import CREDITED, DUPLICATE
from rekomi_mcp.tools.ingest.writes import Writes
from rekomi_mcp.tools.reconciling.stripe_walk import Walk

if TYPE_CHECKING:
    from rekomi_mcp.storage.tables import ConversionRow, SaleRow

MISSING, NOT_CREDITED, ORPHAN_CODE = "missing", "not_credited", "orphan_code"
WRONG_AMOUNT, DOUBLED, NOT_IN_STRIPE = "wrong_amount", "doubled", "not_in_stripe"
AMOUNT = "amount"
"""What is wrong with a sale of another amount; of money that went back it is what became of that, or how it is shared."""
SHARED = "shared"
"""It is known as it stands, and what its payment paid is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not the same here and in Stripe."""

    kind: str
    stripe_id: str
    at: datetime
    amount_minor: int
    currency: str
    sale_id: str | None = None
    """Stripe's id of the sale, when the difference is about something else."""
    affiliate_id: str | None = None
    earns_minor: int = 0
    """What the books would gain, or lose, by it."""
    earns_currency: str | None = None
    outcome: str = ""
    """Of the sale, as it would be decided now."""
    times: int = 1
    text: str | None = None
    """What customers type, of a code; what the books have, of an amount."""
    mended: bool = False
    """Whether a repair puts it right."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a repair does to one affiliate's balance in one currency."""

    affiliate_id: str
    currency: str
    amount_minor: int


@dataclass(slots=True)
class Comparison:
    differences: list[Difference] = field(default_factory=list[Difference])
    """Newest first."""
    effects: list[Effect] = field(default_factory=list[Effect])
    unrelated: int = 0
    """Sales in Stripe that nobody has a claim to and that are not recorded."""

    @property
    def mended(self) -> list[Difference]:
        return [each for each in self.differences if each.mended]


@dataclass(frozen=True, slots=True)
class _Books:
    """The books as they are, and as the engine would leave them."""

    known: Known
    writes: Writes
    rows: dict[SaleKey, SaleRow]
    conversions: dict[str, ConversionRow]

    def gained(self, key: SaleKey) -> int:
        """What a sale would leave its affiliate, beyond what it leaves the same one now."""
        after, before = self.known.recorded[key].earning, self._before(key)
        left = after.remaining_minor if after is not None and after.state != DENIED else 0
        if after is not None and before is not None and after.affiliate_id == before.affiliate_id:
            return left - before.remaining_minor
        return left

    def _before(self, key: SaleKey) -> ConversionRow | None:
        row = self.rows.get(key)
        return self.conversions.get(row.id) if row is not None else None


def compare(context: Context, found: Walk) -> Comparison:
    """Every difference between what was read and what is recorded. It writes nothing."""
    books = _decide(context, found)
    sales = {key_of(sale): sale for sale in found.sales}
    wrong = {key: row for key, sale in sales.items() if (row := _with_other_amounts(books, sale)) is not None}
    differences = [_of_amounts(books, sales[key], row) for key, row in wrong.items()]
    others = books.known.recorded.keys() - wrong.keys()
    differences += [each for key in others if (each := _of_sale(books, key)) is not None]
    decided = {each.stripe_id for each in differences}
    differences += _of_reversals(context, books, found.reversals, decided)
    differences += _orphans(books, found)
    differences += _gone(context, found)
    differences.sort(key=lambda each: (each.at, each.kind, each.stripe_id), reverse=True)
    nobodys = sum(1 for key in sales if key not in books.rows and not _claims(books.known.recorded[key]))
    return Comparison(differences, _effects(books.writes), nobodys)


def fingerprint(context: Context, comparison: Comparison) -> str:
    """What names exactly these repairs: with any other sale, amount or affiliate it would be another."""
    repairs = sorted(
        [d.kind, d.stripe_id, d.affiliate_id, d.outcome, d.amount_minor, d.currency, d.earns_minor, d.earns_currency]
        for d in comparison.mended
    )
    effects = [[e.affiliate_id, e.currency, e.amount_minor] for e in comparison.effects]
    told = json.dumps([context.organization_id, repairs, effects], separators=(",", ":"))
    return f"repair_{hashlib.sha256(told.encode()).hexdigest()[:32]}"


def _decide(context: Context, found: Walk) -> _Books:
    """Have the engine decide; its notes are for nobody."""
    known, writes = decide_facts(replace(context, changes=[]), found.facts, corrects=True)
    rows = storage.sales.by_keys(context.session, context.organization_id, known.recorded)
    conversions = storage.sales.conversions_of(context.session, (row.id for row in rows.values()))
    return _Books(known, writes, rows, conversions)


def _claims(recorded: Recorded) -> list[dict[str, Any]]:
    return recorded.decision.get("candidates") or []


def _of_sale(books: _Books, key: SaleKey) -> Difference | None:
    """A sale that is not recorded, or that somebody else, or somebody at all, should have."""
    recorded, row = books.known.recorded[key], books.rows.get(key)
    winner, earning = recorded.winner, recorded.earning
    if row is None:
        if not _claims(recorded):
            return None
        kind = MISSING
    elif recorded.revision != row.revision and (recorded.outcome, _holder(recorded)) != _held(books, row):
        kind = DOUBLED if recorded.outcome == DUPLICATE else NOT_CREDITED
    else:
        return None
    claimed = winner or next(iter(_claims(recorded)), None)
    return Difference(
        kind=kind,
        stripe_id=key[1],
        sale_id=recorded.double_of if kind == DOUBLED else None,
        at=recorded.sale.occurred_at,
        amount_minor=recorded.sale.net_minor,
        currency=recorded.sale.currency,
        affiliate_id=claimed["affiliateId"] if claimed is not None else None,
        earns_minor=books.gained(key),
        earns_currency=earning.commission_currency if earning is not None else None,
        outcome=recorded.outcome,
        mended=True,
    )


def _holder(recorded: Recorded) -> str | None:
    earning = recorded.earning
    return earning.affiliate_id if earning is not None and recorded.outcome == CREDITED else None


def _held(books: _Books, row: SaleRow) -> tuple[str, str | None]:
    conversion = books.conversions.get(row.id)
    return row.outcome, conversion.affiliate_id if conversion is not None and row.outcome == CREDITED else None


def _with_other_amounts(books: _Books, sale: Sale) -> SaleRow | None:
    """The recorded sale, when Stripe says other amounts of it."""
    row = books.rows.get(key_of(sale))
    return row if row is not None and (row.currency, row.net_minor, row.gross_minor) != sale.amounts else None


def _of_amounts(books: _Books, sale: Sale, row: SaleRow) -> Difference:
    recorded = books.known.recorded[key_of(sale)]
    earning = recorded.earning
    return Difference(
        kind=WRONG_AMOUNT,
        stripe_id=sale.source_id,
        at=row.occurred_at,
        amount_minor=sale.net_minor,
        currency=sale.currency,
        affiliate_id=earning.affiliate_id if earning is not None else None,
        earns_minor=books.gained(key_of(sale)),
        earns_currency=earning.commission_currency if earning is not None else None,
        outcome=AMOUNT,
        text=f"{row.currency} {row.net_minor} {row.gross_minor}",
        mended=True,
    )


def _of_reversals(
    context: Context, books: _Books, reversals: Iterable[Reversal], decided: set[str]
) -> Iterable[Difference]:
    """Refunds, disputes and credit notes of recorded sales that are not known, not as they stand now, or shared otherwise."""
    told = {reversal.id: reversal for reversal in reversals}
    rows = storage.sales.reversals_by_ids(context.session, context.organization_id, told)
    news = {id_: each for id_, each in told.items() if id_ not in rows or each.changes(reversal_of(rows[id_]))}
    moved: dict[tuple[str, str], int] = defaultdict(int)
    for entry in books.writes.entries:
        moved[entry["cause_id"], entry["conversion_id"]] += entry["amount_minor"]
    redecided = {each["conversion_id"] for each in books.writes.entries if each["cause"] in ("sale", "decision")}
    moving = {id_: books.known.reversals[id_] for id_, _ in moved if id_ in books.known.reversals}
    for reversal in (moving | news).values():
        for key, share in sorted(books.known.shares_of(reversal).items()):
            recorded = books.known.recorded.get(key)
            earning = recorded.earning if recorded is not None else None
            if earning is None or earning.state == DENIED or key[1] in decided:
                continue
            part = (reversal.id, earning.conversion_id)
            if reversal.id not in news and (part not in moved or earning.conversion_id in redecided):
                continue
            outcome = f"{reversal.kind.value}_{reversal.status.value}" if reversal.id in news else SHARED
            yield Difference(
                kind=WRONG_AMOUNT,
                stripe_id=reversal.id,
                sale_id=key[1],
                at=reversal.occurred_at,
                amount_minor=part_of(reversal, share),
                currency=reversal.currency,
                affiliate_id=earning.affiliate_id,
                earns_minor=moved.get(part, 0),
                earns_currency=earning.commission_currency,
                outcome=outcome,
                mended=True,
            )


def _orphans(books: _Books, found: Walk) -> Iterable[Difference]:
    """Codes that were redeemed and are nobody's here, by currency."""
    redeemed: dict[tuple[str, str], list[Sale]] = {}
    for sale in {key_of(sale): sale for sale in found.sales}.values():
        for code in set(sale.promotion_code_ids) - books.known.codes_by_promotion.keys():
            redeemed.setdefault((code, sale.currency), []).append(sale)
    for (code, currency), sales in redeemed.items():
        yield Difference(
            kind=ORPHAN_CODE,
            stripe_id=code,
            at=max(sale.occurred_at for sale in sales),
            amount_minor=sum(sale.net_minor for sale in sales),
            currency=currency,
            times=len(sales),
            text=found.code_texts.get(code),
        )


def _gone(context: Context, found: Walk) -> Iterable[Difference]:
    keys = [(source.value, source_id) for source, source_id in found.gone]
    rows = storage.sales.by_keys(context.session, context.organization_id, keys)
    conversions = storage.sales.conversions_of(context.session, (row.id for row in rows.values()))
    for key, row in rows.items():
        conversion = conversions.get(row.id)
        yield Difference(
            kind=NOT_IN_STRIPE,
            stripe_id=key[1],
            at=row.occurred_at,
            amount_minor=row.net_minor,
            currency=row.currency,
            affiliate_id=conversion.affiliate_id if conversion is not None else None,
        )


def _effects(writes: Writes) -> list[Effect]:
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for entry in writes.entries:
        sums[entry["affiliate_id"], entry["currency"]] += entry["amount_minor"]
    return [Effect(affiliate, currency, sums[affiliate, currency]) for affiliate, currency in sorted(sums)]
