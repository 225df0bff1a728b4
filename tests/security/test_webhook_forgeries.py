"""Deliveries that Stripe never made: refused without an error of ours, whatever stands in the signature and the body."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rekomi_mcp.app import App
from rekomi_mcp.sandbox import API_VERSION
from rekomi_mcp.transports.webhooks import PATH
from tests.support.stripe_events import SECRET, inbox, signature, webhook_client

pytestmark = pytest.mark.anyio

EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "type": "invoice.paid",
    "api_version": API_VERSION,
    "created": 1_790_000_000,
    "livemode": False,
    "data": {"object": {"id": "in_1", "object": "invoice"}},
}
BODY = json.dumps(EVENT).encode()


def now() -> str:
    """A timestamp that holds, as the header writes it."""
    return signature(BODY).partition(",")[0]


def good() -> str:
    return signature(BODY).rpartition("=")[2]


FORGERIES: dict[str, Callable[[], bytes]] = {
    "a letter that is not ASCII": lambda: f"{now()},v1=é".encode("latin-1"),
    "bytes that are no text": lambda: f"{now()},v1=".encode() + b"\xff" * 64,
    "no text at all": lambda: b"\xff\xfe",
    "a time of 5000 digits": lambda: b"t=" + b"9" * 5_000 + b",v1=00",
    "a time in other notation": lambda: b"t=1e3,v1=00",
    "a time before all": lambda: b"t=-1,v1=00",
    "a time in hexadecimal": lambda: b"t=0x10,v1=00",
    "names without values": lambda: b"t,v1",
    "values without names": lambda: b"=,=",
    "many equals signs": lambda: b"t=1=2=3,v1=0=0=0",
    "two thousand signatures": lambda: now().encode() + b",v1=00" * 2_000,
    "the right one under another scheme": lambda: f"{now()},v0={good()}".encode(),
    "of another secret": lambda: signature(BODY, "whsec_of_somebody_else").encode(),
    "of another body": lambda: signature(BODY + b" ").encode(),
    "in capitals": lambda: signature(BODY).upper().encode(),
    "five minutes old": lambda: signature(BODY, age_seconds=302).encode(),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=[name.replace(" ", "-") for name in FORGERIES])
async def test_a_signature_that_does_not_hold_is_refused(app: App, forgery: Callable[[], bytes]) -> None:
    async with webhook_client(app) as client:
        answer = await client.post(PATH, content=BODY, headers=[(b"stripe-signature", forgery())])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_signature")
    assert inbox(app) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"created": 10**30},
        {"created": 253_402_300_800},
        {"created": -1},
        {"created": "soon"},
        {"created": None},
        {"id": "evt_\x00"},
        {"type": "invoice\x00.paid"},
        {"account": {"id": "acct_1"}},
        {"account": "acct_\x00"},
        {"api_version": 7},
        {"data": {"object": []}},
        {"data": None},
    ],
    ids=str,
)
async def test_a_signed_event_that_cannot_be_kept_is_refused(app: App, change: dict[str, Any]) -> None:
    body = json.dumps(EVENT | change).encode()
    async with webhook_client(app) as client:
        answer = await client.post(PATH, content=body, headers={"stripe-signature": signature(body)})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_signature")
    assert inbox(app) == {}


async def test_a_signed_body_without_a_bottom_is_refused(app: App) -> None:
    body = b"[" * 400_000
    async with webhook_client(app) as client:
        answer = await client.post(PATH, content=body, headers={"stripe-signature": signature(body)})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_signature")


async def test_a_delivery_played_again_counts_once_and_not_at_all_once_it_is_old(app: App) -> None:
    """The same bytes and signature, for as long as they are good; then under a signature nobody has made."""
    header, old = signature(BODY), signature(BODY, age_seconds=290)
    async with webhook_client(app) as client:
        for given, new in ((header, True), (header, False), (old, False)):
            answer = await client.post(PATH, content=BODY, headers={"stripe-signature": given})
            assert (answer.status_code, answer.json()["new"]) == (200, new)
        late = signature(BODY, age_seconds=302)
        assert (await client.post(PATH, content=BODY, headers={"stripe-signature": late})).status_code == 400
    assert set(inbox(app)) == {"evt_1"}


async def test_one_organizations_secret_speaks_for_nobody_without_it(app: App) -> None:
    """A secret that was taken out of the settings is worth nothing from that moment on."""
    header = signature(BODY, SECRET)
    async with webhook_client(app, ("whsec_the_new_one",)) as client:
        answer = await client.post(PATH, content=BODY, headers={"stripe-signature": header})
    assert answer.status_code == 400
