"""The ledger's arithmetic: what a sale adds to a balance, and what each step of a reversal takes away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fractions import Fraction
from typing import TypeVar

from rekomi_mcp.domain.commission import remaining_minor
from rekomi_mcp.domain.sales import Reversal

K = TypeVar("K")
Share = Fraction | int
"""A part of something, or an amount that is a part of one: exact, and a plain integer where it is whole."""


class EntryKind(StrEnum):
    """Why a balance moved. Amounts are signed; the balance is their sum."""

    Accrual = "accrual"
    Reversal = "reversal"
    Restoration = "restoration"
    """A refund that failed, or a dispute that was won, gives back what it took."""
    Hold = "hold"
    """A dispute begins: two entries move what is left of the commission to where it is not payable."""
    Release = "release"
    """The dispute is over: two entries move it back."""
    Retraction = "retraction"
    """The sale was another's after all: news of an earlier time came later."""


NOT_PAYABLE = datetime(9999, 12, 31, tzinfo=UTC)
"""When money under dispute becomes payable: not before somebody moves it back."""


@dataclass(frozen=True, slots=True)
class Step:
    """One entry that a reversal causes: the way from one remaining commission to the next."""

    reversal: Reversal
    kind: EntryKind
    amount_minor: int
    remaining_minor: int


def shares(paid_minor: Mapping[K, int]) -> dict[K, Share]:
    """The part that each sale bears of what goes back of one payment, by what of the payment went into it."""
    whole = sum(paid_minor.values())
    if len(paid_minor) == 1 or not whole:
        return dict.fromkeys(paid_minor, 1)
    return {key: Fraction(part, whole) for key, part in paid_minor.items()}


def reversal_steps(
    commission_minor: int,
    gross_minor: int,
    known_minor: Mapping[str, Share],
    changes: Sequence[Reversal],
    share: Share = 1,
) -> list[Step]:
    """The entries that changed reversals cause, oldest change first.

    Args:
        commission_minor: what the sale earned before any reversal.
        gross_minor: what the customer paid.
        known_minor: what each reversal known so far takes away, by its id.
        changes: reversals that are new or have another status or amount than in `known_minor`, or are borne otherwise.
        share: the part of the changes that this sale bears.
    """
    effective = dict(known_minor)
    before = remaining_minor(commission_minor, gross_minor, sum(effective.values()))
    steps: list[Step] = []
    for change in sorted(changes, key=lambda r: (r.occurred_at, r.id)):
        effective[change.id] = change.effective_minor * share
        after = remaining_minor(commission_minor, gross_minor, sum(effective.values()))
        if after != before:
            kind = EntryKind.Reversal if after < before else EntryKind.Restoration
            steps.append(Step(change, kind, after - before, after))
        before = after
    return steps
