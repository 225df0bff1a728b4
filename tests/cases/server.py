"""A real server for the cases: its own database, the case as its Stripe, webhooks at its endpoint, and a clock."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import stripe
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.settings import Settings
from rekomi_mcp.transports.webhooks import PATH
from tests.cases.api import CaseApi
from tests.support.servers import listening, serving
from tests.support.stripe_events import SECRET, webhook_client
from tests.support.world import operate

JsonObject = dict[str, Any]
PAUSE = timedelta(minutes=1)
"""How long after an event's moment the server works it off."""
PATIENCE = 12
"""As often as the inbox tries an event."""


class CaseStripe:
    """Stripe at a loopback address, for whichever case is on."""

    def __init__(self) -> None:
        self.api: CaseApi | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        assert self.api is not None
        status, body = self.api.answer(request.method, request.url.path, request.url.query)
        await JSONResponse(body, status, {"request-id": "req_case"})(scope, receive, send)


class CaseServer:
    """One server on one SQLite file, which is put back to what it was for each case and each order."""

    def __init__(self, path: Path, api_base: str, stripe_of_cases: CaseStripe) -> None:
        self._path = path
        self.stripe = stripe_of_cases
        self.now = datetime.now(UTC)
        self.app = App(
            Settings(
                database_url=f"sqlite:///{path}",
                data_dir=path.parent,
                stripe_secret_key=SecretStr("sk_test_cases"),
                stripe_api_base=api_base,
            )
        )
        self.app.clock = lambda: self.now
        self.organization = ""

    async def open(self) -> None:
        """Make the one organization of an otherwise empty database."""
        made = await operate(self.app, "create_organization", {"name": "Cases"})
        assert made["stripeAccount"] == "self"
        self.organization = made["id"]
        await operate(
            self.app, "update_organization", {"organization": made["slug"], "plan": "Pro", "status": "Active"}
        )

    async def do(self, operation: str, **arguments: Any) -> JsonObject:
        """What the owner asks for."""
        return await operate(self.app, operation, arguments, System(self.organization))

    async def everything(self, operation: str, **arguments: Any) -> list[JsonObject]:
        """Every item of a list."""
        items: list[JsonObject] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self.do(operation, take=200, **arguments, **cursor)
            items += page["items"]
            if not page["hasMore"]:
                return items
            cursor = {"cursor": page["nextCursor"]}

    async def post(self, *bodies: bytes) -> None:
        """Deliver webhooks, one after the other, each signed as Stripe signs it."""
        async with webhook_client(self.app) as client:
            for body in bodies:
                signature: Any = stripe.WebhookSignature
                header = signature.generate_signature_header(body.decode(), SECRET)
                answer = await client.post(PATH, content=body, headers={"stripe-signature": header})
                assert answer.status_code == 200, answer.text

    async def work_off(self) -> None:
        await self.app.inbox.work_off()

    async def settle(self) -> None:
        """Let time pass until every event that was put off has had all its attempts."""
        for _ in range(PATIENCE):
            self.now += timedelta(hours=7)
            if not await self.app.inbox.work_off():
                return

    def keep(self) -> sqlite3.Connection:
        """A copy of everything, in memory."""
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        with closing(sqlite3.connect(self._path)) as live:
            live.backup(copy)
        return copy

    def bring_back(self, copy: sqlite3.Connection) -> None:
        """Make everything what it was."""
        with closing(sqlite3.connect(self._path)) as live:
            copy.backup(live)


@asynccontextmanager
async def case_server(folder: Path) -> AsyncGenerator[CaseServer]:
    stripe_of_cases = CaseStripe()
    with listening() as listener:
        async with serving(stripe_of_cases, listener) as address:
            server = CaseServer(folder / "cases.db", address, stripe_of_cases)
            async with server.app.running():
                await server.open()
                yield server
