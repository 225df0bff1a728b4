"""What ten thousand calls leave behind in the server's memory."""

from __future__ import annotations

import gc
from pathlib import Path

from mcp.client import Client

from rekomi_mcp.app import App
from rekomi_mcp.pipeline import Origin
from rekomi_mcp.transports.mcp import build_mcp_server
from tests.benchmarks.figures import Figure, reading
from tests.benchmarks.stores import Filled
from tests.benchmarks.tool_calls import EVERYTHING

WARM_UP, CALLS = 2_000, 10_000
ALLOWED_MIB = 2.0
"""Growth below this is the allocator's, not ours."""
ROUND = ("get_organization", "list_conversions", "run_payout_preview", "list_affiliates", "whoami")


async def measure(filled: Filled) -> list[Figure]:
    app = App(filled.settings)
    async with app.running():
        server = build_mcp_server(EVERYTHING, app.pipeline, lambda _: (filled.brand.credential, Origin()), sandbox=True)
        async with Client(server) as client:
            await client.list_tools()
            await _call(client, WARM_UP)
            before = _resident_mib()
            await _call(client, CALLS)
            grown = _resident_mib() - before
    wanted = f"<= {ALLOWED_MIB:g} MiB"
    return [reading(f"memory after {CALLS:,} calls", filled.name, grown, "MiB more", wanted, grown <= ALLOWED_MIB)]


async def _call(client: Client, times: int) -> None:
    for number in range(times):
        answer = await client.call_tool(ROUND[number % len(ROUND)], {"take": 5} if number % len(ROUND) == 1 else {})
        assert not answer.is_error, answer


def _resident_mib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1024 / 1024
