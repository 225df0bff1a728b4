"""The committed folders are what the stories tell today."""

from __future__ import annotations

import pytest

from tests.cases.building.__main__ import OWN
from tests.cases.building.blanks import blank
from tests.cases.building.stories import STORIES, folder_names
from tests.cases.building.story import Tell, told


@pytest.mark.parametrize(("name", "tell"), list(zip(folder_names(), STORIES, strict=True)), ids=folder_names())
def test_the_folder_of_a_story_is_fresh(name: str, tell: Tell) -> None:
    folder = OWN / name
    committed = {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*.json")}
    assert committed == told(name, tell).files(), "run `python -m tests.cases.building`"


def test_there_is_a_story_for_every_folder() -> None:
    assert sorted(path.name for path in OWN.iterdir()) == sorted(folder_names())


def test_a_misspelt_field_of_an_object_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="a coupon has no percent"):
        blank("coupon", percent=20)


def test_no_story_is_told_twice() -> None:
    names = [tell.__name__ for tell in STORIES]
    assert len(set(names)) == len(names)
