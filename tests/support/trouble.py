"""A shop whose Stripe is under the weather."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from rekomi_mcp.app import App
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.settings import Settings
from rekomi_mcp.storage.tables import (
    AffiliateCodeRow,
    AuditLineRow,
    CampaignCouponRow,
    IdempotencyRecordRow,
    OutboundCallRow,
)
from rekomi_mcp.tools import CATALOGUE
from tests.support.callers import Reply, http_caller
from tests.support.shop import Deal, JsonObject, Shop, open_shop
from tests.support.weather import Weather
from tests.support.world import World, operate

TIMEOUT_SECONDS = 0.75
"""As short as a busy machine still answers in: whoever waits for a timeout waits for several of these."""


@dataclass
class Clock:
    """Real time, and what a test adds to it."""

    ahead: timedelta = field(default=timedelta())

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass(frozen=True)
class Stage:
    """A shop whose Stripe is under the weather."""

    shop: Shop
    weather: Weather
    state: State
    token: str
    clock: Clock

    @property
    def app(self) -> App:
        return self.shop.app

    async def ask(self, operation: str, *, key: str | None = None, **arguments: Any) -> Reply:
        """A request over HTTP, with its answer whatever it is."""
        found = CATALOGUE.get(operation)
        assert found is not None
        return await http_caller(self.app)(found, arguments, self.token, key)

    async def sweep_later(self) -> int:
        """The server's own housekeeping, two minutes on."""
        self.clock.ahead += timedelta(minutes=2)
        return await self.app.pipeline.sweep_outbound()

    def left_behind(self) -> dict[str, int]:
        """Rows of the shop that a write to Stripe makes, by table."""
        tables = (CampaignCouponRow, AffiliateCodeRow, OutboundCallRow, IdempotencyRecordRow)
        with self.app.open_store().reading() as session:
            return {
                table.__name__: len(session.exec(select(table).where(table.organization_id == self.shop.id)).all())
                for table in tables
            }

    def in_stripe(self, kind: str) -> list[JsonObject]:
        """Every object of a kind that Stripe holds."""
        with self.state.read() as work:
            return list(work.where(kind, {}))

    def trail(self) -> list[tuple[str, str]]:
        """What the audit log says of writes to Stripe, oldest first."""
        with self.app.open_store().reading() as session:
            lines = session.exec(
                select(AuditLineRow).where(AuditLineRow.organization_id == self.shop.id).order_by(AuditLineRow.seq)  # pyright: ignore[reportArgumentType]
            ).all()
            return [
                (line.action, line.outcome)
                for line in lines
                if line.entity_type in ("campaign_coupon", "affiliate_code")
            ]


@asynccontextmanager
async def staged(
    database: str, world: World, folder: Path, weather: Weather, state: State, address: str
) -> AsyncGenerator[Stage]:
    app = App(
        Settings.model_validate(
            {
                "database_url": database,
                "data_dir": folder,
                "stripe_secret_key": "sk_test_sandbox",
                "stripe_api_base": address,
                "stripe_timeout_seconds": TIMEOUT_SECONDS,
            }
        )
    )
    app.clock = clock = Clock()
    async with app.running():
        shop = await open_shop(app, world, Simulation(state))
        token = await operate(app, "create_token", {"organization": "story", "kind": "LIVE", "name": "script"})
        yield Stage(shop, weather, state, token["token"], clock)


COUPON: JsonObject = {"name": "Creator discount", "discountValue": 20}


async def signed(stage: Stage) -> Deal:
    """Sarah, with a coupon and the code SARAH20, made in fair weather."""
    return await stage.shop.sign()


async def sarah(stage: Stage) -> JsonObject:
    """An affiliate with a coupon and no code yet: what minting one needs."""
    program = await stage.shop.open_program()
    person = await stage.shop.do("create_affiliate", programId=program, email="s@example.com", fullName="Sarah Lee")
    coupon = await stage.shop.do("create_campaign_coupon", programId=program, **COUPON)
    return {"affiliateId": person["id"], "couponId": coupon["id"]}


async def with_program(stage: Stage, write: str, arguments: JsonObject) -> JsonObject:
    """The HTTP path of a coupon names its program."""
    if write != "create_campaign_coupon":
        return arguments
    [program] = (await stage.shop.do("list_programs"))["items"]
    return arguments | {"programId": program["id"]}


def slow(weather: Weather) -> None:
    weather.delay_seconds = 3 * TIMEOUT_SECONDS


def broken(weather: Weather) -> None:
    weather.status = 500


def broken_after_acting(weather: Weather) -> None:
    weather.status, weather.acts = 500, True


Trouble = Callable[[Weather], None]
unknown_outcome = pytest.mark.parametrize("trouble", [broken, broken_after_acting], ids=lambda f: f.__name__)
