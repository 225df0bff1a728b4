"""Every story, in the order of its folder's number."""

from __future__ import annotations

from tests.cases.building.stories import renewals, sales
from tests.cases.building.story import Tell

STORIES: tuple[Tell, ...] = (*sales.STORIES, *renewals.STORIES)


def folder_names() -> list[str]:
    """`01_one_off_by_a_guest` and so on."""
    return [f"{number:02}_{tell.__name__}" for number, tell in enumerate(STORIES, start=1)]
