"""The webhook endpoint under load, against a bare route; and one event from its delivery to its conversion."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import anyio

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.gateways.stripe import API_VERSION
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.transports.webhooks import PATH
from tests.benchmarks.figures import Figure, rate, reading
from tests.benchmarks.stores import Filled
from tests.support.servers import closed_port
from tests.support.stripe_events import SECRET, signature
from tests.support.world import operate

EVENTS, CONNECTIONS, TURNS, SALES = 1_000, 16, 3, 100


async def measure(filled: Filled) -> list[Figure]:
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    waits: list[float] = []
    for turn in range(TURNS):
        for which, found in rates.items():
            async with _server(which, filled.settings.store_url) as port:
                await _post(port, _events(f"warm_{which}_{turn}", 100))
                begun = time.perf_counter()
                taken = await _post(port, _events(f"{which}_{turn}", EVENTS))
                found.append(EVENTS / (time.perf_counter() - begun))
                waits += taken if which == "ours" else []
    ours, bare = statistics.median(rates["ours"]), statistics.median(rates["bare"])
    p99 = statistics.quantiles(waits, n=100)[98] * 1000
    return [
        rate("webhook / bare route with HMAC and one insert", filled.name, ours, bare, "events/s", 0.5),
        reading(f"webhook p99, {CONNECTIONS} connections", filled.name, p99, "ms"),
        await _end_to_end(filled),
    ]


@asynccontextmanager
async def _server(which: str, database_url: str) -> AsyncGenerator[int]:
    port = closed_port()
    command = [sys.executable, "-m", "tests.benchmarks.webhook_server", which, database_url, str(port), SECRET]
    process = await anyio.open_process(command, stdout=None, stderr=None)
    try:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        yield port
    finally:
        process.terminate()
        await process.wait()


def _events(name: str, count: int) -> list[bytes]:
    """Requests as Stripe sends them, signed beforehand so that the client costs next to nothing."""
    requests: list[bytes] = []
    for number in range(count):
        invoice = {"id": f"in_{name}_{number}", "object": "invoice", "lines": {"data": [{"n": n} for n in range(60)]}}
        event = {
            "id": f"evt_{name}_{number}",
            "object": "event",
            "type": "invoice.paid",
            "api_version": API_VERSION,
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": invoice},
        }
        body = json.dumps(event).encode()
        head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        head += f"stripe-signature: {signature(body)}\r\ncontent-length: {len(body)}\r\n\r\n"
        requests.append(head.encode() + body)
    return requests


async def _post(port: int, requests: Sequence[bytes]) -> list[float]:
    """Send all over a few connections that are kept open; answers how long each waited."""
    left, waits = list(requests), list[float]()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left:
            request, begun = left.pop(), time.perf_counter()
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert " 200 " in head.splitlines()[0], head
            await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
            waits.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return waits


async def _end_to_end(filled: Filled) -> Figure:
    """What an event takes from the inbox to the books when Stripe (the sandbox) is asked about its discounts."""
    app = App(filled.settings)
    async with app.running():
        await app.inbox.work_off()  # What the other measurement has left.
        wanted = {"affiliateId": filled.brand.affiliate, "code": "BENCH"}
        await operate(app, "mint_affiliate_code", wanted, System(filled.brand.organization))
        await app.poller.poll()
        simulation = Simulation(State(filled.settings.sandbox_path))
        for number in range(SALES):
            simulation.checkout(amount=5000, code="BENCH", email=f"customer-{number}@example.com", interval="month")
        events = await app.poller.poll()
        begun = time.perf_counter()
        await app.inbox.work_off()
        taken = time.perf_counter() - begun
    what = f"an event to the books, Stripe asked ({events} events, {SALES} sales)"
    return reading(what, filled.name, taken / events * 1000, "ms")
