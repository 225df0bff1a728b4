"""The Stripe webhook: only what Stripe signed, lately, comes in; it is stored once and answered at once."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from rekomi_mcp.app import App
from rekomi_mcp.sandbox import API_VERSION
from rekomi_mcp.transports.webhooks import MAX_EVENT_BYTES, PATH
from tests.support.stripe_events import SECRET, inbox, signature, webhook_client

pytestmark = pytest.mark.anyio

EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "type": "checkout.session.completed",
    "api_version": API_VERSION,
    "created": 1_790_000_000,
    "livemode": False,
    "data": {"object": {"id": "cs_test_1", "object": "checkout.session"}},
}
BODY = json.dumps(EVENT).encode()


async def post(app: App, body: bytes, header: str | None, *secrets: str) -> httpx.Response:
    async with webhook_client(app, secrets or (SECRET,)) as client:
        return await client.post(PATH, content=body, headers={"stripe-signature": header} if header else {})


def refused(app: App, answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, which stores nothing."""
    assert inbox(app) == {}
    assert answer.json()["message"].endswith(".")
    return answer.status_code, answer.json()["error"]


async def test_a_signed_event_is_stored_as_it_came(app: App) -> None:
    answer = await post(app, BODY, signature(BODY))
    assert (answer.status_code, answer.json()) == (200, {"received": True, "new": True})
    [row] = inbox(app).values()
    assert (row.account, row.event_id, row.type, row.state) == ("self", "evt_1", EVENT["type"], "pending")
    assert (row.source, row.payload, row.api_version) == ("webhook", BODY.decode(), API_VERSION)
    assert row.stripe_created.timestamp() == EVENT["created"]


async def test_a_stored_event_wakes_the_inbox(app: App) -> None:
    woken: list[None] = []
    async with webhook_client(app, (SECRET,), lambda: woken.append(None)) as client:
        await client.post(PATH, content=BODY, headers={"stripe-signature": signature(BODY)})
        assert len(woken) == 1
        await client.post(PATH, content=BODY, headers={"stripe-signature": "t=1,v1=00"})
        assert len(woken) == 1


async def test_the_same_event_twice_is_answered_alike_and_stored_once(app: App) -> None:
    answers = [await post(app, BODY, signature(BODY)) for _ in range(2)]
    assert [(a.status_code, a.json()["new"]) for a in answers] == [(200, True), (200, False)]
    assert len(inbox(app)) == 1


@pytest.mark.parametrize(
    "header",
    [
        signature(BODY, "whsec_of_somebody_else"),
        signature(BODY + b" "),
        signature(BODY, age_seconds=301),
        signature(BODY).replace("v1=", "v0="),
        signature(BODY).partition(",")[2],
        "nonsense",
        "t=now,v1=00",
        "",
        None,
    ],
    ids=["other-secret", "other-body", "stale", "old-scheme", "no-time", "nonsense", "no-number", "empty", "missing"],
)
async def test_what_stripe_did_not_sign_lately_is_refused(app: App, header: str | None) -> None:
    assert refused(app, await post(app, BODY, header)) == (400, "invalid_signature")


async def test_an_event_that_took_four_minutes_is_still_good(app: App) -> None:
    assert (await post(app, BODY, signature(BODY, age_seconds=240))).status_code == 200


@pytest.mark.parametrize("secret", ["whsec_new", "whsec_old"])
async def test_while_a_secret_is_rotated_both_are_good(app: App, secret: str) -> None:
    assert (await post(app, BODY, signature(BODY, secret), "whsec_new", "whsec_old")).status_code == 200


async def test_of_two_signatures_one_good_one_is_enough(app: App) -> None:
    good = signature(BODY)
    header = good.replace(",v1=", f",v1={'0' * 64},v1=")
    assert (await post(app, BODY, header)).status_code == 200


async def test_without_a_secret_the_endpoint_is_off(app: App) -> None:
    async with webhook_client(app, ()) as client:
        answer = await client.post(PATH, content=BODY, headers={"stripe-signature": signature(BODY)})
    assert refused(app, answer) == (404, "webhook_disabled")
    assert "REKOMI_STRIPE_WEBHOOK_SECRET" in answer.json()["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"not JSON",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{}",
        json.dumps(EVENT | {"data": {}}).encode(),
        json.dumps(EVENT | {"created": "yesterday"}).encode(),
        json.dumps({"id": "evt_2", "object": "v2.core.event", "type": "v1.billing.meter.error"}).encode(),
    ],
    ids=["not-json", "array", "null", "not-text", "empty", "no-object", "no-time", "thin"],
)
async def test_what_is_signed_and_no_snapshot_event_is_refused(app: App, body: bytes) -> None:
    assert refused(app, await post(app, body, signature(body))) == (400, "invalid_signature")


async def test_a_body_over_the_limit_is_refused_unread(app: App) -> None:
    body = json.dumps(EVENT | {"padding": "x" * MAX_EVENT_BYTES}).encode()
    assert refused(app, await post(app, body, signature(body))) == (413, "payload_too_large")


async def test_a_large_event_within_the_limit_is_stored(app: App) -> None:
    body = json.dumps(EVENT | {"padding": "x" * (MAX_EVENT_BYTES - 1000)}).encode()
    assert (await post(app, body, signature(body))).status_code == 200


async def test_the_webhook_takes_posts_only(app: App) -> None:
    async with webhook_client(app) as client:
        answer = await client.get(PATH)
    assert (answer.status_code, answer.json()["error"]) == (405, "method_not_allowed")


async def test_the_endpoints_secret_comes_from_the_settings(app: App, client: httpx.AsyncClient) -> None:
    """On the sandbox it is made up at the start, so nobody else's signature is good."""
    answer = await client.post(PATH, content=BODY, headers={"stripe-signature": signature(BODY)})
    assert refused(app, answer) == (400, "invalid_signature")


@pytest.mark.parametrize("settings", [{"stripe_webhook_secret": f"whsec_other, {SECRET}"}], indirect=True)
async def test_the_settings_may_hold_several_secrets(app: App, client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, content=BODY, headers={"stripe-signature": signature(BODY)})
    assert (answer.status_code, list(inbox(app))) == (200, ["evt_1"])


@pytest.mark.parametrize("settings", [{"stripe_secret_key": "sk_test_somebodys"}], indirect=True)
async def test_with_a_real_key_and_no_secret_the_endpoint_is_off(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, content=BODY, headers={"stripe-signature": signature(BODY)})
    assert (answer.status_code, answer.json()["error"]) == (404, "webhook_disabled")
