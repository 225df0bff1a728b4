"""`python -m tests.outside.conformance`: the scored sets of both eras, on three surfaces.

`product` is what `serve http` serves; its baseline names what only the fixtures can satisfy. `fixtures` is the product's
endpoint as it is, every request answered on its own, around a server with the fixtures; its baseline names what needs a
stream or a session. `streams` gives the fixtures those too, and its baseline is empty: everything that is scored passes.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio import to_thread
from mcp.shared.exceptions import MCPDeprecationWarning
from starlette.types import ASGIApp

from rekomi_mcp.app import App
from rekomi_mcp.settings import Settings
from tests.outside.conformance import endpoints
from tests.outside.conformance.verdict import ERAS, Verdict, examine
from tests.support.servers import listening, port_of, serving
from tests.support.world import operate

SURFACES: dict[str, Callable[[App], ASGIApp]] = {
    "product": endpoints.product,
    "fixtures": endpoints.fixtures,
    "streams": endpoints.fixtures_with_streams,
}
BASELINES = Path(__file__).parent / "baselines"
CALLS_A_MINUTE = 100_000
"""The suite does not wait when it is asked to."""


@asynccontextmanager
async def served(build: Callable[[App], ASGIApp]) -> AsyncGenerator[str]:
    """A server on an organization of its own; yields the address of its MCP endpoint."""
    with tempfile.TemporaryDirectory(prefix="rekomi-conformance-") as folder, listening() as listener:
        settings = Settings(data_dir=Path(folder), port=port_of(listener), rate_limit_per_minute=CALLS_A_MINUTE)
        before = App(settings)
        async with before.running():
            await operate(before, "create_organization", {"name": "Acme"})
            wanted = {"organization": "acme", "kind": "MCP", "name": "conformance"}
            token = (await operate(before, "create_token", wanted))["token"]
        async with serving(endpoints.WithToken(build(App(settings)), token), listener) as address:
            yield f"{address}/mcp"


async def examine_all() -> dict[tuple[str, str], Verdict]:
    verdicts: dict[tuple[str, str], Verdict] = {}
    for surface, build in SURFACES.items():
        async with served(build) as address:
            for era in ERAS:
                verdict = await to_thread.run_sync(examine, address, era, BASELINES / f"{surface}.{era}.yml")
                verdicts[surface, era] = verdict
                print(_line(surface, era, verdict), flush=True)
    return verdicts


def _line(surface: str, era: str, verdict: Verdict) -> str:
    mark = "ok  " if verdict.passes else "FAIL"
    left = verdict.scored - verdict.scored_passed
    rest = f"; the other {left} in the baseline" if verdict.passes and left else ""
    counted = f"{verdict.scored_passed} of {verdict.scored} scored scenarios pass, {verdict.checks_passed} checks"
    return f"{mark} {surface:8} {era}: {counted}{rest}"


def main() -> int:
    # What the suite observes of the older era is deprecated, and it provokes what the server logs as a warning.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    logging.getLogger("mcp").setLevel(logging.ERROR)
    start = time.monotonic()
    failed = [verdict for verdict in anyio.run(examine_all).values() if not verdict.passes]
    for verdict in failed:
        print(verdict.output)
    print(f"conformance: {'FAILED' if failed else 'passed'} in {time.monotonic() - start:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
