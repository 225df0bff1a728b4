"""`python -m tests.outside.fuzz`: Schemathesis against a real server, by its own OpenAPI document.

One run sends what the schemas allow and what they forbid, as a caller who may do everything; one walks along the
document's links, from what was created or listed to what takes its id; and every other plan and scope gets a short run.
Each answer must be documented (status, content type, headers, schema), and none may be a 500.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from rekomi_mcp.demo.stage import Stage
from tests.outside.fuzz_stage import Caller, populate

FOLDER = Path(__file__).parent
SEED = 20260728
AT_ONCE = 2
RUN_SECONDS = 300
LEAST_LINKS = 18
"""A walk that gets about follows most of the document's links; one that follows fewer has proven little."""
_LINKS = re.compile(r"API Links: +(\d+) covered / (\d+) selected")


@dataclass(frozen=True, slots=True)
class Run:
    """One call of the fuzzer."""

    caller: Caller
    what: str
    arguments: tuple[str, ...]
    hooks: bool = False

    @property
    def name(self) -> str:
        return f"{self.caller[0]:10} {self.caller[1]:10} {self.what}"


@dataclass(frozen=True, slots=True)
class Finding:
    """How a run ended; `wrong` is empty when all was well."""

    cases: int
    said: str
    wrong: str


PHASES = ("--phases", "examples,coverage,fuzzing", "--max-examples", "12")
BRIEF = ("--phases", "examples,fuzzing", "--max-examples", "5")
# An archived program would be the end of most walks; the other runs archive.
WALK = ("--phases", "stateful", "--mode", "positive", "--max-examples", "100", "--max-time", "20",
        "--exclude-operation-id", "archive_program")  # fmt: skip


def runs(callers: list[Caller]) -> list[Run]:
    """Every caller's run, the longest first. The walk has a brand of its own: the other run would end its things."""
    everything, walking = ("Pro", "read_write"), ("Enterprise", "read_write")
    long = [Run(everything, "all phases", PHASES), Run(walking, "walk", WALK, hooks=True)]
    return long + [Run(caller, "in brief", BRIEF) for caller in callers if caller not in (everything, walking)]


def fuzz(url: str, folder: Path, tokens: dict[Caller, str], run: Run) -> Finding:
    """Do one run against the server at this address; its report and what it keeps go to the folder."""
    report = folder / f"{'-'.join(run.caller)}.json"
    command = [Path(sys.executable).parent / "st", "--config-file", FOLDER / "schemathesis.toml"]
    command += ["run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {tokens[run.caller]}"]
    command += ["--seed", SEED, "--continue-on-failure", "--generation-database", "none", "--no-color"]
    command += ["--report", "json", "--report-json-path", report, *run.arguments]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, **({"SCHEMATHESIS_HOOKS": str(FOLDER / "fuzz_hooks.py")} if run.hooks else {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    found = _judge(json.loads(report.read_text()) if report.exists() else None, done)
    print(f"{'FAIL' if found.wrong else 'ok  '} {run.name:33}: {found.said}", flush=True)
    return found


def _judge(report: dict[str, Any] | None, done: subprocess.CompletedProcess[str]) -> Finding:
    if report is None:
        return Finding(0, "did not run", done.stdout)
    cases, operations = report["test_cases"]["generated"], report["operations"]
    said = f"{cases} cases, {operations['tested']} of {operations['selected']} operations"
    enough = operations["tested"] == operations["selected"]
    if links := _LINKS.search(done.stdout):
        said += f", {links[1]} of {links[2]} links"
        enough = int(links[1]) >= LEAST_LINKS
    if done.returncode == 0 and report["complete"] and enough:
        return Finding(cases, said, "")
    return Finding(cases, f"{said}, {report['test_cases']['unique_failures']} failures", done.stdout)


def main() -> int:
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rekomi-fuzz-") as folder:
        stage = Stage(Path(folder))
        # Nothing but the fuzzer asks anything of this server, and it must not wait.
        stage.environment |= {"REKOMI_RATE_LIMIT_PER_MINUTE": "1000000", "REKOMI_POLL_SECONDS": "3600"}
        tokens = anyio.run(populate, stage.folder)
        with stage.http_server(), ThreadPoolExecutor(AT_ONCE) as workers:
            work = partial(fuzz, stage.url, stage.folder, tokens)
            findings = list(workers.map(work, runs(list(tokens))))
    wrong = [finding.wrong for finding in findings if finding.wrong]
    for output in wrong:
        print(output)
    cases = sum(finding.cases for finding in findings)
    print(f"fuzz: {'FAILED' if wrong else 'passed'}, {cases} cases in {time.monotonic() - start:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
