"""One of the two servers that the webhook measurement compares; run as a process of its own.

python -m tests.benchmarks.webhook_server ours|bare DATABASE_URL PORT SECRET
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from datetime import UTC, datetime
from threading import local
from typing import Any

import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rekomi_mcp.storage.engine import Store
from rekomi_mcp.transports.http import EXCEPTION_HANDLERS
from rekomi_mcp.transports.webhooks import PATH, build_stripe_webhook
from tests.benchmarks.raw import Raw

INSERT = """
    INSERT INTO inbox_event (account, event_id, type, livemode, source, payload, state, attempts,
                             stripe_created, received_at, next_attempt_at)
    VALUES ('self', :id, :type, FALSE, 'webhook', :payload, 'pending', 0, :at, :at, :at)
"""


def ours(url: str, secret: str) -> Starlette:
    store = Store(url)
    route = build_stripe_webhook(lambda: store, [secret], lambda: datetime.now(UTC), False, lambda: None)
    return Starlette(routes=[route], exception_handlers=EXCEPTION_HANDLERS)


def bare(url: str, secret: str) -> Starlette:
    """What a person would write in ten minutes: check the signature, insert, answer."""
    kept = local()

    def store(event: dict[str, Any], text: str) -> None:
        if not hasattr(kept, "raw"):
            kept.raw = Raw(url)
        at = datetime.fromtimestamp(event["created"], UTC)
        kept.raw.write(INSERT, {"id": event["id"], "type": event["type"], "payload": text, "at": str(at)})

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        sent = dict(part.split("=", 1) for part in request.headers["stripe-signature"].split(","))
        digest = hmac.new(secret.encode(), f"{sent['t']}.".encode() + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(digest, sent["v1"]):
            return JSONResponse({"error": "invalid_signature"}, 400)
        await to_thread.run_sync(store, json.loads(body), body.decode())
        return JSONResponse({"received": True})

    return Starlette(routes=[Route(PATH, endpoint, methods=["POST"])])


if __name__ == "__main__":
    which, database, port, signing = sys.argv[1:]
    application = (ours if which == "ours" else bare)(database, signing)
    uvicorn.run(application, host="127.0.0.1", port=int(port), log_config=None, access_log=False, ws="none")
