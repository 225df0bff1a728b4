"""The watch makes tests fail: a pytest of its own runs a few that leave the description, each in another way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PASSES = ["test_nothing_is_wrong", "test_an_announced_request"]
FAILS = {
    "test_a_wrong_request": "POST /v1/coupons.colour: not documented",
    "test_a_wrong_request_that_nobody_answers": "GET /v1/invoices.status: 'lost' is not one of",
    "test_an_announcement_in_vain": "announced but not sent: colour: not documented",
    "test_a_wrong_answer": "GET /v1/balance answers .colour: not documented",
    "test_a_request_that_should_have_been_refused": "accepted by the sandbox: GET /v1/balance.colour: not documented",
    "test_a_wrong_object": "the sandbox's coupon.created: missing",
    "test_a_wrong_object_in_another_process": "the sandbox's coupon.created: missing",
}


@pytest.fixture(scope="module")
def report() -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", "tests/contract/leaving.py"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False).stdout


@pytest.mark.parametrize("case", PASSES)
def test_what_keeps_to_the_description_passes(report: str, case: str) -> None:
    assert f"PASSED tests/contract/leaving.py::{case}\n" in report


@pytest.mark.parametrize(("case", "fault"), FAILS.items(), ids=FAILS)
def test_what_leaves_the_description_fails(report: str, case: str, fault: str) -> None:
    assert f"FAILED tests/contract/leaving.py::{case}" in [line.partition(" - ")[0] for line in report.splitlines()]
    assert fault in report.partition(f" {case} __")[2].partition("\n____")[0]


def test_what_was_seen_is_counted(report: str) -> None:
    assert "held against Stripe's description: 7 requests, 6 answers, " in report
