"""The figures of every case, written by hand, are what the rule gives when somebody else computes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases import reference
from tests.cases.case import Case, folders


def _in_the_core() -> list[Path]:
    return [folder for folder in folders() if Case.load(folder).group == "core"]


@pytest.mark.parametrize("folder", _in_the_core(), ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_the_reference_computes_what_the_case_expects(folder: Path) -> None:
    case = Case.load(folder)
    expected = [
        (row["source_id"], row["affiliate"], row["currency"], row["net_amount"], row["commission"])
        for row in case.expected.conversions
    ]
    computed = [(c.source_id, c.affiliate, c.currency, c.net, c.commission) for c in reference.conversions(case)]
    assert sorted(computed) == sorted(expected)
    assert reference.final(case) == case.expected.final_net
