"""Webhooks: signed, delivered, repeated."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox import API_VERSION
from rekomi_mcp.sandbox.server import RunningSandbox, running_sandbox
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.sandbox.webhooks import claim, conclude, deliver_batch, new_client, something_to_deliver

pytestmark = pytest.mark.anyio

SECRET = "whsec_chosen_by_the_test"


@dataclass
class Receiver:
    """An endpoint that answers what it is told to and keeps what it is sent."""

    url: str = ""
    answers: list[int] = field(default_factory=list[int])
    bodies: list[str] = field(default_factory=list[str])
    signatures: list[str] = field(default_factory=list[str])

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            received = b""
            while b"\r\n\r\n" not in received:
                received += await stream.receive()
            head, _, body = received.partition(b"\r\n\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
            while len(body) < int(headers["content-length"]):
                body += await stream.receive()
            self.bodies.append(body.decode())
            self.signatures.append(
                next(line[18:] for line in head.decode().split("\r\n") if line.lower().startswith("stripe-signature"))
            )
            status = self.answers.pop(0) if self.answers else 200
            await stream.send(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())

    def types(self) -> list[str]:
        return [json.loads(body)["type"] for body in self.bodies]

    async def wait_for(self, count: int) -> None:
        with anyio.fail_after(10):
            while len(self.bodies) < count:
                await anyio.sleep(0.01)


@asynccontextmanager
async def receiving(*answers: int) -> AsyncGenerator[Receiver]:
    receiver = Receiver(answers=list(answers))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    receiver.url = f"http://127.0.0.1:{port}/webhooks/stripe"
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, receiver.serve)
        yield receiver
        group.cancel_scope.cancel()


async def waiting(people: Simulation) -> int:
    """How many deliveries are left, after a little patience for the last one to be noted."""
    left = 0
    for _ in range(200):
        left: int = people.summary()["webhook_deliveries"]["waiting"]
        if left == 0:
            break
        await anyio.sleep(0.01)
    return left


async def test_events_reach_an_endpoint_with_a_signature_the_client_accepts(
    client: StripeClient, people: Simulation
) -> None:
    async with receiving() as receiver:
        endpoint = await client.v1.webhook_endpoints.create_async(
            {"url": receiver.url, "enabled_events": ["coupon.created", "coupon.deleted"], "api_version": API_VERSION}
        )
        assert endpoint.secret is not None
        coupon = await client.v1.coupons.create_async({"percent_off": 20, "name": "Grüße"})
        await client.v1.coupons.update_async(coupon.id, {"name": "Anders"})
        await client.v1.coupons.delete_async(coupon.id)
        await receiver.wait_for(2)
        assert sorted(receiver.types()) == ["coupon.created", "coupon.deleted"]
        for body, signature in zip(receiver.bodies, receiver.signatures, strict=True):
            event = client.construct_event(body.encode(), signature, endpoint.secret)
            assert event.data.object["id"] == coupon.id
            stripe.Webhook.construct_event(body, signature, endpoint.secret)
            with pytest.raises(stripe.SignatureVerificationError):
                stripe.Webhook.construct_event(body + " ", signature, endpoint.secret)
            with pytest.raises(stripe.SignatureVerificationError):
                stripe.Webhook.construct_event(body, signature, "whsec_other")
        assert await waiting(people) == 0


async def test_the_signature_carries_real_time_whatever_the_sandboxs_clock_says(
    client: StripeClient, people: Simulation
) -> None:
    async with receiving() as receiver:
        people.register_webhook(receiver.url, SECRET)
        people.advance(days=400)
        coupon = await client.v1.coupons.create_async({"percent_off": 20})
        await receiver.wait_for(1)
        event = client.construct_event(receiver.bodies[0].encode(), receiver.signatures[0], SECRET, 30)
        assert event.created == coupon.created


async def test_a_delivery_is_repeated_until_it_is_accepted(client: StripeClient, people: Simulation) -> None:
    async with receiving(500) as receiver:
        people.register_webhook(receiver.url, SECRET, ["coupon.created"])
        await client.v1.coupons.create_async({"percent_off": 20})
        await receiver.wait_for(1)
        [event] = (await client.v1.events.list_async({"delivery_success": False})).data
        assert event.pending_webhooks == 1
        await receiver.wait_for(2)
        assert receiver.bodies[0] == receiver.bodies[1]
        assert await waiting(people) == 0
        assert (await client.v1.events.list_async({"delivery_success": False})).data == []


async def test_pauses_double_up_to_a_minute_and_end_after_twelve_attempts(state_path: Path) -> None:
    state = State(state_path)
    people = Simulation(state)
    people.register_webhook("http://127.0.0.1:9/", SECRET, ["product.created"])
    people.checkout(amount=1000)

    def due() -> float | None:
        with state.read() as work:
            return work.db.execute("SELECT due FROM deliveries").fetchone()[0]

    pauses: list[int] = []
    for _ in range(12):
        with state.write() as work:
            work.db.execute("UPDATE deliveries SET due = 1")
        [delivery] = claim(state)
        assert claim(state) == []  # nobody else takes it meanwhile
        with state.read() as work:
            before = work.clock
        conclude(state, delivery, delivered=False)
        if (next_attempt := due()) is not None:
            pauses.append(round(next_attempt - before))
    assert [pause for pause in pauses if pause < 60] == pytest.approx([1, 2, 4, 8, 16, 32], abs=1)
    assert len(pauses) == 11
    assert due() is None
    assert people.summary()["webhook_deliveries"] == {"waiting": 0, "given_up": 1}
    state.close()


async def test_an_endpoint_that_is_not_there_does_not_stop_the_others(state_path: Path) -> None:
    state = State(state_path)
    people = Simulation(state)
    async with receiving() as receiver, new_client() as client:
        people.register_webhook("http://127.0.0.1:9/", SECRET, ["product.created"])
        people.register_webhook(receiver.url, SECRET, ["product.created"])
        people.checkout(amount=1000)
        await deliver_batch(state, client)
        assert receiver.types() == ["product.created"]
        assert people.summary()["webhook_deliveries"]["waiting"] == 1
    state.close()


async def test_deliveries_survive_a_restart_also_one_that_was_on_its_way(state_path: Path) -> None:
    async with receiving(500) as receiver:
        async with running_sandbox(state_path):
            state = State(state_path)
            people = Simulation(state)
            people.register_webhook(receiver.url, SECRET, ["product.created"])
            people.checkout(amount=1000)
            await receiver.wait_for(1)
        async with running_sandbox(state_path):
            await receiver.wait_for(2)
            assert await waiting(people) == 0
        state.close()


async def test_a_stopping_process_gives_back_what_it_has_taken(state_path: Path) -> None:
    state = State(state_path)
    people = Simulation(state)
    silent = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with silent, new_client() as client:
        port = silent.extra(anyio.abc.SocketAttribute.local_port)
        people.register_webhook(f"http://127.0.0.1:{port}/", SECRET, ["product.created"])
        people.checkout(amount=1000)
        with anyio.move_on_after(0.2) as scope:
            await deliver_batch(state, client)
        assert scope.cancelled_caught
        assert something_to_deliver(state)
    state.close()


async def test_two_processes_never_deliver_the_same_event_at_once(state_path: Path) -> None:
    async with receiving() as receiver, running_sandbox(state_path), running_sandbox(state_path):
        state = State(state_path)
        people = Simulation(state)
        people.register_webhook(receiver.url, SECRET)
        for _ in range(5):
            people.checkout(amount=1000, interval="month")
        assert await waiting(people) == 0
        ids = [json.loads(body)["id"] for body in receiver.bodies]
        assert len(ids) == len(set(ids)) == people.summary()["counts"]["event"]
        state.close()


async def test_registering_an_endpoint_twice_keeps_one(client: StripeClient, http: httpx.AsyncClient) -> None:
    for secret in ("whsec_first", "whsec_second"):
        body = {"url": "http://127.0.0.1:9/hook", "secret": secret, "enabled_events": ["coupon.created"]}
        answer = await http.post("/sandbox/webhook_endpoint", json=body)
        assert answer.status_code == 200
        assert "secret" not in answer.json()
    [endpoint] = (await client.v1.webhook_endpoints.list_async()).data
    assert (endpoint.url, endpoint.enabled_events) == ("http://127.0.0.1:9/hook", ["coupon.created"])


async def test_endpoints_are_created_changed_and_deleted(client: StripeClient, people: Simulation) -> None:
    made = await client.v1.webhook_endpoints.create_async(
        {"url": "http://localhost:9/hook", "enabled_events": ["*"], "metadata": {"a": "1"}, "description": "mine"}
    )
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    read = await client.v1.webhook_endpoints.retrieve_async(made.id)
    assert "secret" not in read
    assert (read.status, read.description, read.metadata.to_dict()) == ("enabled", "mine", {"a": "1"})
    changed = await client.v1.webhook_endpoints.update_async(
        made.id, {"disabled": True, "enabled_events": ["coupon.created"], "metadata": {"a": ""}}
    )
    assert (changed.status, changed.enabled_events, changed.metadata.to_dict()) == ("disabled", ["coupon.created"], {})
    await client.v1.coupons.create_async({"percent_off": 20})
    assert people.summary()["webhook_deliveries"]["waiting"] == 0
    deleted = await client.v1.webhook_endpoints.delete_async(made.id)
    assert deleted.deleted is True
    assert (await client.v1.webhook_endpoints.list_async()).data == []


async def test_nothing_is_delivered_to_other_machines(client: StripeClient, http: httpx.AsyncClient) -> None:
    for url in ("https://example.com/hook", "http://10.0.0.1/", "http://127.0.0.1.example.com/", "ftp://127.0.0.1/"):
        params: Any = {"url": url, "enabled_events": ["*"]}
        with pytest.raises(stripe.InvalidRequestError, match="this machine only"):
            await client.v1.webhook_endpoints.create_async(params)
        answer = await http.post("/sandbox/webhook_endpoint", json={"url": url, "secret": SECRET})
        assert answer.status_code == 400


async def test_a_reset_keeps_registered_endpoints_and_nothing_else(
    sandbox: RunningSandbox, client: StripeClient, http: httpx.AsyncClient, people: Simulation
) -> None:
    people.register_webhook("http://127.0.0.1:9/hook", SECRET)
    await client.v1.coupons.create_async({"percent_off": 20, "id": "X"}, {"idempotency_key": "k"})
    people.advance(days=3)
    summary = (await http.post("/sandbox/reset")).json()
    assert summary["counts"] == {"webhook_endpoint": 1}
    assert summary["clock"]["offset_seconds"] == 0
    assert summary["webhook_deliveries"] == {"waiting": 0, "given_up": 0}
    await client.v1.coupons.create_async({"percent_off": 30, "id": "X"}, {"idempotency_key": "k"})
