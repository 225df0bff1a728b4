"""What clients see changes only when somebody means it: every change shows in a diff of a snapshot."""

from __future__ import annotations

import json
import re

import pytest

from tests.snapshots.refresh import kept, snapshots

ADVICE = "If the change is meant, run `python tests/snapshots/refresh.py` and look at the diff."
NAMES = sorted(snapshots())
TOOLS = [name for name in NAMES if name.startswith("tools/")]


@pytest.mark.parametrize("name", NAMES)
def test_what_clients_see_is_what_its_snapshot_says(name: str) -> None:
    found = kept()
    assert name in found, f"There is no snapshot of it. {ADVICE}"
    assert json.loads(snapshots()[name]) == json.loads(found[name]), f"It has changed. {ADVICE}"
    assert snapshots()[name] == found[name], f"This snapshot was written by hand. {ADVICE}"


def test_no_snapshot_outlives_what_it_shows() -> None:
    assert set(kept()) <= set(NAMES), f"There are snapshots of what is gone. {ADVICE}"


def test_the_snapshot_of_a_tool_holds_all_that_a_client_sees() -> None:
    for name in TOOLS:
        assert json.loads(kept()[name]).keys() == {
            "name",
            "title",
            "description",
            "inputSchema",
            "outputSchema",
            "annotations",
        }


@pytest.mark.parametrize("name", TOOLS)
def test_a_description_says_when_to_use_another_tool_instead(name: str) -> None:
    described = json.loads(snapshots()[name])["description"]
    others = {other.removeprefix("tools/").removesuffix(".json") for other in TOOLS if other != name}
    assert others & set(re.findall(r"\w+", described))
