"""What clients see of the tools changes only when somebody means it: every change shows in a diff of a snapshot."""

from __future__ import annotations

import json
import re

import pytest

from tests.snapshots.refresh import kept, snapshots

ADVICE = "If the change is meant, run `python tests/snapshots/refresh.py` and look at the diff."
NAMES = sorted(snapshots())


@pytest.mark.parametrize("name", NAMES)
def test_a_tool_is_what_its_snapshot_says(name: str) -> None:
    found = kept()
    assert name in found, f"There is no snapshot of this tool. {ADVICE}"
    assert json.loads(snapshots()[name]) == json.loads(found[name]), f"This tool has changed. {ADVICE}"
    assert snapshots()[name] == found[name], f"This snapshot was written by hand. {ADVICE}"


def test_no_snapshot_outlives_its_tool() -> None:
    assert set(kept()) <= set(NAMES), f"There are snapshots of tools that are gone. {ADVICE}"


def test_a_snapshot_holds_all_that_a_client_sees() -> None:
    for text in kept().values():
        assert json.loads(text).keys() == {
            "name",
            "title",
            "description",
            "inputSchema",
            "outputSchema",
            "annotations",
        }


@pytest.mark.parametrize("name", NAMES)
def test_a_description_says_when_to_use_another_tool_instead(name: str) -> None:
    described = json.loads(snapshots()[name])["description"]
    others = {other.removesuffix(".json") for other in NAMES} - {name.removesuffix(".json")}
    assert others & set(re.findall(r"\w+", described))
