"""Webhook delivery: signed, repeated until somebody answers 2xx, by whichever process gets to it first."""

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import anyio.to_thread
import httpx

from rekomi_mcp.sandbox.shapes import PRIVATE
from rekomi_mcp.sandbox.state import State

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0
_LEASE_SECONDS = 2 * _TIMEOUT_SECONDS
"""How long a process that took a delivery has for it; after that another process may try."""
_AT_ONCE = 20
_ATTEMPTS = 12
_LONGEST_PAUSE_SECONDS = 60


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one endpoint. `body` is the event's text exactly as it was stored."""

    id: int
    attempts: int
    body: str
    url: str
    secret: str


def sign(body: str, secret: str) -> str:
    """The Stripe-Signature header, with real time: receivers compare it with their own clocks."""
    timestamp = int(time.time())
    digest = hmac.new(secret.encode(), f"{timestamp}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def claim(state: State) -> list[Delivery]:
    """Take deliveries that are due. Their next attempt moves behind the lease, so nobody else takes them."""
    now = time.time()
    with state.write() as work:
        rows = work.db.execute(
            "SELECT deliveries.id, attempts, event.body, endpoint.body FROM deliveries"
            " JOIN objects AS event ON event.seq = deliveries.event"
            " JOIN objects AS endpoint ON endpoint.seq = deliveries.endpoint"
            " WHERE deliveries.due <= ? ORDER BY deliveries.due, deliveries.id LIMIT ?",
            (now, _AT_ONCE),
        ).fetchall()
        work.db.executemany(
            "UPDATE deliveries SET due = ? WHERE id = ?", [(now + _LEASE_SECONDS, row[0]) for row in rows]
        )
    deliveries: list[Delivery] = []
    for id, attempts, body, endpoint in rows:
        receiver = json.loads(endpoint)
        deliveries.append(Delivery(id, attempts, body, receiver["url"], receiver[PRIVATE]["secret"]))
    return deliveries


def something_to_deliver(state: State) -> bool:
    with state.read() as work:
        query = "SELECT 1 FROM deliveries WHERE due <= ? LIMIT 1"
        return work.db.execute(query, (time.time(),)).fetchone() is not None


def conclude(state: State, delivery: Delivery, delivered: bool) -> None:
    """Note the outcome: done, to be repeated after a pause, or given up."""
    with state.write() as work:
        if delivered:
            work.db.execute("DELETE FROM deliveries WHERE id = ?", (delivery.id,))
            return
        attempts = delivery.attempts + 1
        pause = min(2**delivery.attempts, _LONGEST_PAUSE_SECONDS)
        due = time.time() + pause if attempts < _ATTEMPTS else None
        work.db.execute("UPDATE deliveries SET attempts = ?, due = ? WHERE id = ?", (attempts, due, delivery.id))


def release(state: State, deliveries: Sequence[Delivery]) -> None:
    """Give back what was taken and not concluded, because this process stops."""
    with state.write() as work:
        work.db.executemany(
            "UPDATE deliveries SET due = 0 WHERE id = ? AND attempts = ?",
            [(delivery.id, delivery.attempts) for delivery in deliveries],
        )


async def deliver_batch(state: State, client: httpx.AsyncClient) -> None:
    """Deliver what is due, many at once."""
    deliveries = await anyio.to_thread.run_sync(claim, state)
    try:
        async with anyio.create_task_group() as group:
            for delivery in deliveries:
                group.start_soon(_deliver, state, client, delivery)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(release, state, deliveries)
        raise


def new_client() -> httpx.AsyncClient:
    """A client that goes straight to this machine: no proxies from the environment, no redirects."""
    return httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False, follow_redirects=False)


async def _deliver(state: State, client: httpx.AsyncClient, delivery: Delivery) -> None:
    headers = {
        "content-type": "application/json; charset=utf-8",
        "stripe-signature": sign(delivery.body, delivery.secret),
        "user-agent": "rekomi-mcp sandbox",
    }
    try:
        response = await client.post(delivery.url, content=delivery.body.encode(), headers=headers)
        delivered = response.is_success
    except httpx.HTTPError as error:
        log.info("webhook delivery to %s failed: %s", delivery.url, error)
        delivered = False
    await anyio.to_thread.run_sync(conclude, state, delivery, delivered)
