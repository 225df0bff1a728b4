"""An owner plays the customers at the command line: purchases, money back, disputes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def happened(rehearse: Rehearse) -> list[str]:
    """Everything in the sandbox; its clock goes on meanwhile."""
    return [line for line in rehearse("show").splitlines() if not line.startswith("Clock: ")]


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


Asked = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(rehearse: Rehearse, capsys: pytest.CaptureFixture[str]) -> Asked:
    """Run an operation of a brand with one affiliate, Sarah Lee, after all news of the sandbox has been read."""

    def run(name: str, /, **arguments: Any) -> dict[str, Any]:
        assert main(["sync"]) == 0
        capsys.readouterr()
        assert main(["call", name, json.dumps(arguments)]) == 0
        return json.loads(capsys.readouterr().out)

    assert main(["init"]) == 0
    run("create_program", name="Creators", defaultCommissionType="Percentage", defaultCommissionValue=20)
    run("create_affiliate", email="sarah@example.com", fullName="Sarah Lee")
    return run


@pytest.mark.parametrize("named", [["--client-reference-id", "sarah-lee"], ["--metadata", "rekomi_ref=sarah-lee"]])
def test_a_purchase_through_a_link_is_its_affiliates(rehearse: Rehearse, ask: Asked, named: list[str]) -> None:
    assert "paid USD 49.00" in rehearse("checkout", *named)
    rehearse("checkout", "--metadata", "rekomi_ref=nobody", "--metadata", "order=7")
    found = ask("list_conversions")["items"]
    assert [(item["affiliateName"], item["amountCents"]) for item in found] == [("Sarah Lee", 4900)]


@pytest.mark.parametrize(("failed", "earned"), [([], 1), (["--failed"], 0)], ids=["arrives", "fails"])
def test_a_delayed_payment_counts_once_it_has_arrived(
    rehearse: Rehearse, ask: Asked, failed: list[str], earned: int
) -> None:
    ordered = rehearse("checkout", "--client-reference-id", "sarah-lee", "--delayed")
    session = re.search(r"cs_\w+", ordered)
    assert session is not None and "has ordered for USD 49.00" in ordered
    assert ask("list_conversions")["items"] == []
    assert "the payment of USD 49.00 has" in rehearse("settle", session[0], *failed)
    assert len(ask("list_conversions")["items"]) == earned


@pytest.mark.parametrize("pair", ["rekomi_ref", "=sarah-lee"])
def test_metadata_that_is_no_pair_is_wrong_usage(capsys: pytest.CaptureFixture[str], pair: str) -> None:
    with pytest.raises(SystemExit):
        main(["sandbox", "checkout", "--metadata", pair])
    assert "is not written as KEY=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv", [["dispute", "sub_1"], ["settle", "cs_none"], ["refund", "cus_1"], ["decide", "dp_none", "won"]]
)
def test_what_cannot_be_is_refused_in_words(rehearse: Rehearse, argv: list[str]) -> None:
    bought(rehearse)
    assert main(["sandbox", *argv]) != 0


@pytest.mark.parametrize(
    ("argv", "option"),
    [
        (["checkout", "--amount", "-5"], "--amount"),
        (["checkout", "--currency", "dollars"], "--currency"),
        (["checkout", "--tax-percent", "-5"], "--tax-percent"),
        (["checkout", "--currency", "XXQ"], "--currency"),
        (["checkout", "--interval", "month", "--trial-days", "0"], "--trial-days"),
        (["checkout", "--client-reference-id", "x" * 201], "--client-reference-id"),
        (["checkout", "--metadata", f"{'k' * 41}=1"], f"--metadata[{'k' * 41}]"),
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
    before = happened(rehearse)
    assert main(["sandbox", *(sale if word == "BOUGHT" else word for word in argv)]) != 0
    assert f"{option}: " in capsys.readouterr().err
    assert happened(rehearse) == before
