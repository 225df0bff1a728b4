"""What the fuzzer is let loose on: a brand for each plan, with something to find, and a token of either scope."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import httpx
from anyio import to_thread

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import Plan, Scope, System
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.settings import Settings
from tests.support.world import operate

PLANS = tuple(plan.name for plan in Plan)
SCOPES = tuple(scope.value for scope in Scope)
TERMS = {"name": "Creators", "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}


Caller = tuple[str, str]
"""A plan and a scope."""


async def populate(folder: Path) -> dict[Caller, str]:
    """Fill an empty data folder; answers each caller's token."""
    app = App(Settings(data_dir=folder))
    tokens: dict[Caller, str] = {}
    async with app.running():
        for plan in PLANS:
            made = await operate(app, "create_organization", {"name": plan, "slug": plan.lower(), "plan": plan})
            account = await _sandbox_account(app)
            await operate(app, "update_organization", {"organization": plan.lower(), "stripeAccount": account})
            await _furnish(app, System(made["id"]), plan, account)
        await app.poller.poll()
        await app.inbox.work_off()
        for plan, scope in product(PLANS, SCOPES):
            wanted = {"organization": plan.lower(), "kind": "LIVE", "name": scope, "scope": scope}
            tokens[plan, scope] = (await operate(app, "create_token", wanted))["token"]
    return tokens


async def _sandbox_account(app: App) -> str:
    """A Stripe account of its own for a brand."""
    sandbox = await app.sandbox.endpoint()
    async with httpx.AsyncClient(base_url=str(sandbox.api_base), auth=(sandbox.api_key, "")) as client:
        return str((await client.post("/v1/accounts")).json()["id"])


async def _furnish(app: App, owner: System, plan: str, account: str) -> None:
    """A program with two affiliates and a lead; where the plan allows codes, a code and two sales with it."""
    await operate(app, "create_program", TERMS, owner)
    sarah = await operate(app, "create_affiliate", {"email": "sarah@example.com", "fullName": "Sarah Lee"}, owner)
    await operate(app, "create_affiliate", {"email": "bob@example.com", "status": "Pending"}, owner)
    await operate(app, "record_lead", {"email": "kim@example.com", "affiliateId": sarah["id"]}, owner)
    if plan == Plan.Starter.name:
        return
    coupon = await operate(app, "create_campaign_coupon", {"name": "20 off", "discountValue": 20}, owner)
    wanted = {"affiliateId": sarah["id"], "couponId": coupon["id"], "code": "SARAH20"}
    await operate(app, "mint_affiliate_code", wanted, owner)
    await to_thread.run_sync(_two_customers_buy, app.settings.sandbox_path, account)


def _two_customers_buy(sandbox: Path, account: str) -> None:
    state = State(sandbox)
    for number in range(2):
        Simulation(state, account).checkout(amount=10_000, code="SARAH20", email=f"customer{number}@example.com")
    state.close()
