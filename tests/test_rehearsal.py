"""An owner plays the customers at the command line: purchases, money back, disputes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rekomi_mcp.cli import main

Rehearse = Callable[..., str]


@pytest.fixture
def rehearse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rehearse:
    """Run a command of the sandbox that must succeed; answers what it prints."""
    monkeypatch.setenv("REKOMI_DATA_DIR", str(tmp_path))

    def run(*argv: str) -> str:
        assert main(["sandbox", *argv]) == 0
        return capsys.readouterr().out

    return run


def bought(rehearse: Rehearse) -> str:
    found = re.search(r"in_\w+", rehearse("checkout", "--interval", "month"))
    assert found is not None
    return found[0]


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_a_dispute_is_opened_and_decided(rehearse: Rehearse, outcome: str) -> None:
    opened = rehearse("dispute", bought(rehearse))
    found = re.search(r"USD 49\.00 are disputed \((\w+), needs_response\)", opened)
    assert found is not None, opened
    assert f"is {outcome}." in rehearse("decide", found[1], outcome)


def test_a_bank_that_only_asks_moves_no_money(rehearse: Rehearse) -> None:
    assert "warning_needs_response" in rehearse("dispute", bought(rehearse), "--inquiry", "--amount", "1000")


def test_part_of_a_payment_is_given_back(rehearse: Rehearse) -> None:
    assert "refunded USD 10.00" in rehearse("refund", bought(rehearse), "--amount", "1000")


@pytest.mark.parametrize("argv", [["dispute", "sub_1"], ["refund", "cus_1"], ["decide", "dp_none", "won"]])
def test_what_cannot_be_is_refused_in_words(rehearse: Rehearse, argv: list[str]) -> None:
    bought(rehearse)
    assert main(["sandbox", *argv]) != 0


@pytest.mark.parametrize(
    ("argv", "option"),
    [
        (["checkout", "--amount", "-5"], "--amount"),
        (["checkout", "--currency", "dollars"], "--currency"),
        (["checkout", "--tax-percent", "-5"], "--tax-percent"),
        (["checkout", "--interval", "month", "--trial-days", "0"], "--trial-days"),
        (["refund", "BOUGHT", "--amount", "-5"], "--amount"),
        (["refund", "BOUGHT", "--amount", "0"], "--amount"),
        (["dispute", "BOUGHT", "--amount", "0"], "--amount"),
    ],
    ids=str,
)
def test_what_stripe_would_not_take_is_refused_and_happens_to_nobody(
    rehearse: Rehearse, capsys: pytest.CaptureFixture[str], argv: list[str], option: str
) -> None:
    sale = bought(rehearse)
    before = rehearse("show")
    assert main(["sandbox", *(sale if word == "BOUGHT" else word for word in argv)]) != 0
    assert f"{option}: " in capsys.readouterr().err
    assert rehearse("show") == before
