"""Stripe's events as Stripe would deliver them, and what the inbox made of them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
from sqlmodel import select
from starlette.applications import Starlette

from rekomi_mcp.app import App
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.storage.tables import InboxEventRow
from rekomi_mcp.transports.http import EXCEPTION_HANDLERS
from rekomi_mcp.transports.webhooks import PATH, build_stripe_webhook

JsonObject = dict[str, Any]
SECRET = "whsec_of_the_test"


def events_of(state: State, *types: str, account: str = "") -> list[JsonObject]:
    """What happened in the sandbox, oldest first; only events of these types when some are named."""
    with state.read(account) as work:
        events = list(work.where("event", {}, oldest_first=True))
    return [event for event in events if not types or event["type"] in types]


def signature(body: bytes, secret: str = SECRET, *, age_seconds: int = 0) -> str:
    """The Stripe-Signature header of a body."""
    at = int(time.time()) - age_seconds
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def webhook_client(
    app: App, secrets: Sequence[str] = (SECRET,), wake: Callable[[], None] = lambda: None
) -> httpx.AsyncClient:
    """A client of the app's webhook endpoint, in process."""
    route = build_stripe_webhook(app.open_store, secrets, app.clock, False, wake)
    endpoint = Starlette(routes=[route], exception_handlers=EXCEPTION_HANDLERS)
    return httpx.AsyncClient(transport=httpx.ASGITransport(endpoint), base_url="http://test")


async def deliver(app: App, *events: JsonObject) -> list[bool]:
    """Deliver events by webhook, one after the other; answers which were new."""
    new: list[bool] = []
    async with webhook_client(app) as client:
        for event in events:
            body = json.dumps(event).encode()
            answer = await client.post(PATH, content=body, headers={"stripe-signature": signature(body)})
            assert answer.status_code == 200, answer.text
            new.append(answer.json()["new"])
    return new


def inbox(app: App) -> dict[str, InboxEventRow]:
    """The inbox's real events by their id; those of the test's world are left out."""
    with app.open_store().reading() as session:
        rows = session.exec(select(InboxEventRow).where(InboxEventRow.type != "test")).all()
        session.expunge_all()
    return {row.event_id: row for row in rows}


def states(app: App) -> dict[str, str]:
    return {event_id: row.state for event_id, row in inbox(app).items()}
