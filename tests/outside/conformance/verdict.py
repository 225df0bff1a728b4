"""Run the suite against an address and read what it found."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.outside.node import CONFORMANCE, MODULES, command

ERAS = ("2025-11-25", "2026-07-28")
RUN_SECONDS = 180
REQUIREMENTS = "@modelcontextprotocol/conformance/requirements"
_COLOR = re.compile(r"\x1b\[\d+m")
_SCENARIO = re.compile(r"^([✓✗]) (\S+): (\d+) passed, (\d+) failed", re.MULTILINE)
_EXPECTED = re.compile(r"^  ~ ([^\s:]+)", re.MULTILINE)
_SCORED_SECTION = re.compile(r"^server:\n((?:  - \S+\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the suite found in one era."""

    passes: bool
    """The suite's own exit code: nothing failed or warned that is not in the baseline, and nothing there passes by now."""
    scored: int
    scored_passed: int
    checks_passed: int
    output: str


def examine(address: str, era: str, baseline: Path) -> Verdict:
    """Run every scenario of an era's set.

    Args:
        address: the MCP endpoint.
        era: a protocol revision that the suite has a scored set of.
        baseline: the scenarios and checks that are expected to fail or to warn.
    """
    done = subprocess.run(
        command(CONFORMANCE, "server", "--url", address, "--requirements", era, "--expected-failures", str(baseline)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    output = _COLOR.sub("", done.stdout)
    summary = output.partition("=== SUMMARY ===")[2]
    wanted = scored_scenarios(era)
    scored = [found for found in _SCENARIO.findall(summary) if found[1] in wanted]
    expected = set(_EXPECTED.findall(summary))
    return Verdict(
        # A run that broke off has proven nothing, whatever it exits with.
        passes=done.returncode == 0 and {name for _, name, _, _ in scored} == wanted,
        scored=len(scored),
        scored_passed=sum(mark == "✓" and name not in expected for mark, name, _, _ in scored),
        checks_passed=sum(int(passed) for _, _, passed, _ in scored),
        output=summary.strip() or output,
    )


def scored_scenarios(era: str) -> set[str]:
    """The scenarios that count for servers in an era, by the suite's own list."""
    text = (MODULES / REQUIREMENTS / f"{era}.yaml").read_text(encoding="utf-8")
    found = _SCORED_SECTION.search(text)
    assert found is not None, f"the suite's list of {era} is not written as expected"
    return {line.removeprefix("  - ") for line in found[1].splitlines()}
