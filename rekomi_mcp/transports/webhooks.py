"""The Stripe webhook: check the signature on the raw body, store the event, answer 200; the inbox does the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import rekomi_mcp.storage as storage
from rekomi_mcp.gateways import stripe
from rekomi_mcp.gateways.stripe_inbox import inbox_row
from rekomi_mcp.transports.bodies import read_body
from rekomi_mcp.transports.http import answering_refusals
from rekomi_mcp.transports.letterbox import Letterbox, Row

if TYPE_CHECKING:
    from rekomi_mcp.storage.engine import Store

PATH = "/webhooks/stripe"
MAX_EVENT_BYTES = 1024 * 1024
"""Stripe's largest events are far below this."""


def build_stripe_webhook(
    open_store: Callable[[], Store],
    secrets: Sequence[str],
    clock: Callable[[], datetime],
    live: bool,
    wake: Callable[[], None],
) -> Route:
    """The webhook's route.

    Args:
        secrets: signing secrets, any of which may have signed; none switches the endpoint off.
        wake: called when an event has been stored.
    """

    def keep(rows: Sequence[Row]) -> set[tuple[str, str]]:
        with open_store().writing() as session:
            return storage.inbox.store(session, rows)

    letterbox = Letterbox(keep)

    async def endpoint(request: Request) -> Response:
        body = await read_body(request, MAX_EVENT_BYTES)
        event = stripe.verify_webhook(body, request.headers.get("stripe-signature", ""), secrets)
        row = inbox_row(event, text=body.decode(), source="webhook", live=live, now=clock())
        new = await letterbox.post(row)
        wake()
        return JSONResponse({"received": True, "new": new})

    return Route(PATH, answering_refusals(endpoint), methods=["POST"])
