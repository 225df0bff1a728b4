"""Every story, in the order of its folder's number."""

from __future__ import annotations

from tests.cases.building.stories import (
    adoption,
    before,
    clicks,
    codes,
    credits,
    customers,
    deliveries,
    discounts,
    doubles,
    late_invoices,
    money,
    people,
    periods,
    renewals,
    reversals,
    rules,
    sales,
    shared,
    upgrades,
)
from tests.cases.building.story import Tell

_SUBJECTS = (
    sales,
    renewals,
    customers,
    discounts,
    money,
    reversals,
    credits,
    deliveries,
    codes,
    rules,
    clicks,
    people,
    doubles,
    upgrades,
    shared,
    adoption,
    periods,
    late_invoices,
    before,
)
STORIES: tuple[Tell, ...] = tuple(tell for subject in _SUBJECTS for tell in subject.STORIES)


def folder_names() -> list[str]:
    """`001_one_off_by_a_guest` and so on."""
    return [f"{number:03}_{tell.__name__}" for number, tell in enumerate(STORIES, start=1)]
