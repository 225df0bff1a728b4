"""A shop on the sandbox: its owner works through the pipeline, its customers pay, and its events come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.sandbox.simulate import Simulation
from tests.support.world import World, operate

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Deal:
    """One affiliate with one code, and what stands behind it."""

    program: str
    affiliate: str
    coupon: str
    code: str


@dataclass(frozen=True, slots=True)
class Shop:
    """A brand that owns the sandbox's own Stripe account and has nothing else yet."""

    app: App
    id: str
    customers: Simulation

    async def do(self, operation: str, **arguments: Any) -> JsonObject:
        """What its owner asks for."""
        return await operate(self.app, operation, arguments, System(self.id))

    async def catch_up(self) -> int:
        """Bring in what happened in Stripe; answers how many events were worked off."""
        await self.app.poller.poll()
        return await self.app.inbox.work_off()

    def restart(self) -> None:
        """The server's process ends, and another begins."""
        del self.app.poller

    async def open_program(self, **terms: Any) -> str:
        """A program; 20 % of everything unless told otherwise."""
        usual = {"name": "Creators", "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
        return (await self.do("create_program", **usual | terms))["id"]

    async def sign(
        self,
        code: str = "SARAH20",
        *,
        name: str = "Sarah Lee",
        program: str | None = None,
        affiliate: JsonObject | None = None,
        coupon: JsonObject | None = None,
        mint: JsonObject | None = None,
    ) -> Deal:
        """Give a new affiliate a code: 20 % off once, in a program of 20 %, unless told otherwise."""
        program = program or await self.open_program()
        email = f"{name.split()[0].lower()}@example.com"
        person = await self.do(
            "create_affiliate", **{"programId": program, "email": email, "fullName": name} | (affiliate or {})
        )
        discount = {"programId": program, "name": "Creator discount", "discountValue": 20} | (coupon or {})
        made = await self.do("create_campaign_coupon", **discount)
        wanted = {"affiliateId": person["id"], "couponId": made["id"], "code": code} | (mint or {})
        minted = await self.do("mint_affiliate_code", **wanted)
        return Deal(program, person["id"], made["id"], minted["id"])

    async def sell(self, amount: int = 10_000, **visit: Any) -> JsonObject:
        """A customer pays at the checkout, and the news arrives."""
        sold = self.customers.checkout(amount=amount, **visit)
        await self.catch_up()
        return sold

    async def renew(self, sold: JsonObject) -> JsonObject:
        """A subscription's next period is billed, and the news arrives."""
        billed = self.customers.renew(sold["subscription"])
        await self.catch_up()
        return billed

    async def refund(self, sold: JsonObject, amount: int | None = None) -> JsonObject:
        """Money goes back, and the news arrives."""
        refunded = self.customers.refund(payment_intent=sold["payment_intent"], amount=amount)
        await self.catch_up()
        return refunded

    async def conversions(self, **wanted: Any) -> list[JsonObject]:
        """Every conversion, oldest first."""
        return (await self.do("list_conversions", **wanted))["items"][::-1]

    async def conversion(self, sold: JsonObject) -> JsonObject | None:
        """What one sale earned, with its timeline; None when nobody earned."""
        source = sold["invoice"] or sold["session"]
        [found] = [c for c in await self.conversions() if c["externalEventId"] == source] or [None]
        return found and await self.do("get_conversion", conversionId=found["id"])

    async def explain(self, sold: JsonObject) -> JsonObject:
        """Why a sale was credited, or not."""
        return await self.do("explain_attribution", sourceId=sold["invoice"] or sold["session"])

    async def preview(self, **wanted: Any) -> JsonObject:
        return await self.do("run_payout_preview", **wanted)


async def open_shop(app: App, world: World, customers: Simulation) -> Shop:
    """A shop with the sandbox's own account, which the world's brands give up for it."""
    for brand in (world.acme, world.neighbour):
        await operate(app, "update_organization", {"organization": brand.slug, "stripeAccount": "none"})
    made = await operate(app, "create_organization", {"name": "Story"})
    assert made["stripeAccount"] == "self"
    return Shop(app, made["id"], customers)
