"""`python -m tests.outside.tdqs`: TDQS lints the tool definitions that an assistant receives over stdio."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from typing import Any

from rekomi_mcp.tools import CATALOGUE

LINT_SECONDS = 60


def lint() -> dict[str, Any]:
    """The linter's report on the tools of a server that it starts itself.

    Raises:
        SystemExit: it could not read them.
    """
    server = shlex.join([sys.executable, "-m", "rekomi_mcp", "serve", "stdio"])
    with tempfile.TemporaryDirectory(prefix="rekomi-tdqs-") as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tdqs", "lint", "--command", server, "--format", "json", "--fail-on", "never"],
            env={**os.environ, "HOME": folder, "REKOMI_DATA_DIR": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LINT_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise SystemExit(f"tdqs could not read the tools:\n{done.stderr}")
    return json.loads(done.stdout)


def main() -> int:
    start = time.monotonic()
    report = lint()
    tools: list[Any] = report["tools"]
    # What is merely noted is advice for a score that a model gives; warnings and errors are faults.
    wrong = [
        f"{finding['severity']}: {finding['message']}"
        for finding in report["findings"]
        if finding["severity"] != "info"
    ]
    wrong += [
        f"{tool['name']}: {percent} % of its parameters are described"
        for tool in tools
        if (percent := tool["contextSignals"]["schemaDescriptionCoverage"]) < 100
    ]
    missing = {operation.name for operation in CATALOGUE.listed()} - {tool["name"] for tool in tools}
    wrong += [f"{name}: was not read" for name in sorted(missing)]
    for line in wrong:
        print(f"FAIL {line}")
    count = sum(tool["contextSignals"]["paramCount"] for tool in tools)
    print(
        f"{len(tools)} tools with {count} parameters: {len(wrong) or 'no'} findings of specification {report['specVersion']}"
    )
    print(f"tdqs: {'FAILED' if wrong else 'passed'} in {time.monotonic() - start:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
