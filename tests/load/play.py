"""Deliver a brand's life to a running server while it works, and look at the books when nothing waits any more."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread
from pydantic import SecretStr
from sqlalchemy import func
from sqlmodel import col, select

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.settings import Settings
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.tables import InboxEventRow
from rekomi_mcp.transports.webhooks import PATH
from tests.load.books import Books, read_books
from tests.load.lives import Life, Shop
from tests.load.stripe import StripeAtTheEnd
from tests.support.servers import closed_port, listening, serving
from tests.support.stripe_events import SECRET, signature
from tests.support.world import operate

CONNECTIONS = 16
KEY = "sk_test_load"


@dataclass(frozen=True)
class Run:
    """How it went."""

    events: int
    """Different ones."""
    deliveries: int
    stripe_requests: int
    took_in: float
    """Seconds until the last delivery was answered."""
    worked_off: float
    """Seconds from the first delivery until nothing waited any more."""
    books: Books
    expected: dict[str, tuple[str, tuple[str, str, int]]]
    """Of each sale that earns: whose story it is in, and affiliate, currency and what is left."""

    @property
    def faults(self) -> list[str]:
        """What is not as it must be."""
        books, sums = self.books, Counter[tuple[str, str]]()
        for _, (affiliate, currency, minor) in self.expected.values():
            sums[affiliate, currency] += minor
        wanted = {key: minor for key, minor in sums.items() if minor}
        found = [
            f"{story}: {sale} left {books.sales.get(sale)}, and should have left {left}"
            for sale, (story, left) in self.expected.items()
            if books.sales.get(sale) != left
        ]
        found += [f"{sale} earned, and should not have" for sale in books.sales.keys() - self.expected.keys()]
        if books.remaining != wanted:
            found.append(f"the conversions leave {books.remaining}, and should {wanted}")
        if books.ledger != wanted:
            found.append(f"the ledger adds up to {books.ledger}, and should to {wanted}")
        if books.inbox != {"done": self.events}:
            found.append(f"the inbox has {books.inbox}, and {self.events} events were sent: {books.notes}")
        if books.disagreeing:
            found.append(f"{len(books.disagreeing)} conversions are not the sum of their entries")
        return found


def lives_of(shop: Shop, events: int) -> list[Life]:
    """So many customers that at least so many events come together."""
    lives: list[Life] = []
    told = 0
    while told < events:
        lives.append(shop.life(len(lives)))
        told += len(lives[-1].bodies)
    return lives


async def play(shop: Shop, lives: Sequence[Life], database_url: str, folder: Path, seed: int = 1) -> Run:
    """A new server on an empty database receives everything; answers what it made of it."""
    bodies = [body for life in lives for body in life.bodies]
    dice = random.Random(seed)
    sent = [*bodies, *dice.sample(bodies, len(bodies) // 10)]
    dice.shuffle(sent)
    expected = {
        each.source_id: (life.case.name, (each.affiliate, each.currency, each.remaining))
        for life in lives
        for each in life.conversions
    }
    stripe = StripeAtTheEnd(shop.case, [life.case for life in lives])
    with listening() as listener:
        async with serving(stripe, listener) as address:
            settings = Settings(
                database_url=database_url,
                data_dir=folder,
                port=closed_port(),
                stripe_secret_key=SecretStr(KEY),
                stripe_api_base=address,
                stripe_webhook_secret=SecretStr(SECRET),
            )
            names = await _seed(shop, settings)
            store = Store(database_url)
            try:
                async with _server(settings):
                    begun, asked = time.perf_counter(), stripe.requests
                    await _deliver(settings.port, sent)
                    took_in = time.perf_counter() - begun
                    await _until_nothing_waits(store)
                    worked_off = time.perf_counter() - begun
                books = read_books(store, names)
            finally:
                store.close()
    return Run(
        events=len(bodies),
        deliveries=len(sent),
        stripe_requests=stripe.requests - asked,
        took_in=took_in,
        worked_off=worked_off,
        books=books,
        expected=expected,
    )


async def _seed(shop: Shop, settings: Settings) -> dict[str, str]:
    """A brand with its program and its affiliates, who own their codes; answers the case's names by our ids."""
    app = App(settings)
    async with app.running():
        organization = await operate(app, "create_organization", {"name": "Load"})
        paid = {"organization": organization["slug"], "plan": "Pro", "status": "Active"}
        await operate(app, "update_organization", paid)
        owner = System(organization["id"])
        terms = {"name": "Creators", "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
        await operate(app, "create_program", terms, owner)
        ours: dict[str, str] = {}
        for each in shop.seeds.affiliates:
            person = {"email": f"{each.name}@example.org".lower(), "fullName": each.name}
            ours[each.id] = (await operate(app, "create_affiliate", person, owner))["id"]
        for code in shop.seeds.codes:
            wanted = {"affiliateId": ours[code.affiliate], "promotionCodeId": code.promotion_code}
            await operate(app, "adopt_promotion_code", wanted, owner)
    return {our_id: name for name, our_id in ours.items()}


@asynccontextmanager
async def _server(settings: Settings) -> AsyncGenerator[None]:
    """`serve http` as a process of its own."""
    given = {
        "REKOMI_DATABASE_URL": settings.store_url,
        "REKOMI_DATA_DIR": str(settings.data_dir),
        "REKOMI_PORT": str(settings.port),
        "REKOMI_STRIPE_SECRET_KEY": KEY,
        "REKOMI_STRIPE_API_BASE": str(settings.stripe_api_base),
        "REKOMI_STRIPE_WEBHOOK_SECRET": SECRET,
    }
    with (settings.data_dir / "server.log").open("w") as log:
        command = [sys.executable, "-m", "rekomi_mcp", "serve", "http"]
        server = await anyio.open_process(command, env=os.environ | given, stdout=log, stderr=log)
        try:
            await _until_it_listens(settings.port)
            yield
        finally:
            server.terminate()
            await server.wait()


async def _until_it_listens(port: int) -> None:
    for _ in range(600):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("the server did not start")


async def _deliver(port: int, bodies: Sequence[bytes]) -> None:
    """Post all over a few connections that are kept open, signed as they leave."""
    left = list(bodies)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left:
            body = left.pop()
            head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            head += f"stripe-signature: {signature(body)}\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert " 200 " in answer.splitlines()[0], answer
            await reader.readexactly(int(answer.partition("content-length: ")[2].split()[0]))
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))


async def _until_nothing_waits(store: Store) -> None:
    def waiting() -> int:
        with store.reading() as session:
            query = select(func.count()).select_from(InboxEventRow).where(col(InboxEventRow.state) == "pending")
            return session.exec(query).one()

    before, patience = None, time.monotonic() + 60
    while left := await to_thread.run_sync(waiting):
        if left != before:
            before, patience = left, time.monotonic() + 60
        assert time.monotonic() < patience, f"{left} events wait, and nothing happens"
        await asyncio.sleep(0.1)
