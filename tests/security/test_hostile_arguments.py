"""Every argument of every operation, given what no honest caller would send: it is taken or refused, never a crash.

On both databases, each through a door of its own: what one stores without a word, the other refuses with an error.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from rekomi_mcp.app import App
from rekomi_mcp.operation import AnyOperation
from rekomi_mcp.storage.tables import AffiliateRow
from rekomi_mcp.tools import CATALOGUE
from tests.support.callers import Reply
from tests.support.doors import DOORS, Doors, doors_of, key_to
from tests.support.terms_watch import as_if_always
from tests.support.world import Brand, World
from tests.test_every_operation import GOOD, good

pytestmark = pytest.mark.anyio

LONGEST_ANSWER = 2_000
"""Of a refusal, in bytes: what was sent does not come back."""
TEXTS = {
    "NUL": "a\x00b",
    "lone surrogate": "a\ud800b",
    "escape": "\x1b[2J\x9b31m",
    "newline": "a\r\nSet-Cookie: a=b\r\n\r\n",
    "bidi": "\u202egpj.exe\u2066",
    "zero width": "a\u200b\u200d\ufeff",
    "emoji": "👩‍👩‍👧‍👦" * 5,
    "long": "x" * 20_000,
    "long marks": "a" + "\u0301\u0316" * 20_000,
    "quotes": "'; DROP TABLE affiliate; --",
    "wildcards": "%_\\%",
    "template": "{{7*7}}${7*7}%(x)s{0}",
    "path": "../../../../etc/passwd",
    "web address": "http://169.254.169.254/latest/meta-data",
    "empty": "",
    "blank": " \t\n",
    "many digits": "1." + "0" * 5_000,
    "huge exponent": "1e999999999",
    "tiny exponent": "1e-999999999",
    "not a number": "NaN",
    "infinity": "-Infinity",
    "first moment": "0001-01-01T00:00:00+14:00",
    "last moment": "9999-12-31T23:59:59-14:00",
    "first day": "0001-01-01",
    "last day": "9999-12-31",
    "email": "a\u202eb\x7f@example.com",
}
NUMBERS: dict[str, Any] = {
    "past 32 bits": 2**31,
    "past 64 bits": 2**63,
    "far past": 10**400,
    "far below": -(10**400),
    "float": 1e308,
    "fraction": 0.1 + 0.2,
    "minus": -1,
}
SHAPES: dict[str, Any] = {
    "list": ["a"] * 1_500,
    "object": {"$ne": None, "__proto__": {}, "": ""},
    "deep": json.loads("[" * 150 + "]" * 150),
    "true": True,
}


OF_MOMENTS = ("first moment", "last moment", "first day", "last day", "huge exponent", "NUL", "long")
OF_NUMBERS = ("many digits", "huge exponent", "tiny exponent", "not a number", "infinity", "NUL", "lone surrogate")
OF_CHOICES = ("NUL", "lone surrogate", "long", "empty", "bidi")


def hostile(schema: dict[str, Any]) -> dict[str, Any]:
    """Values for an argument that is declared so: what is free text is given every text."""
    said = json.dumps(schema)
    if '"date' in said:
        return {**{name: TEXTS[name] for name in OF_MOMENTS}, **NUMBERS, **SHAPES}
    if '"number"' in said or '"integer"' in said:
        return {**{name: TEXTS[name] for name in OF_NUMBERS}, **NUMBERS, **SHAPES}
    if '"string"' not in said or '"enum"' in said or "$ref" in said:
        return {**{name: TEXTS[name] for name in OF_CHOICES}, "past 64 bits": 2**63, **SHAPES}
    if '"array"' in said:
        return {**{name: [text] for name, text in TEXTS.items()}, **SHAPES}
    return {**TEXTS, "far past": NUMBERS["far past"], **SHAPES}


def again(app: App, brand: Brand, operation: AnyOperation) -> None:
    """What can be done once can be done again: each value meets the operation, not the end of the last one."""
    if operation.name in ("approve_affiliate", "reject_affiliate"):
        with app.open_store().writing() as session:
            as_if_always(session)
            row = session.get_one(AffiliateRow, brand.applicant)
            row.status = "Pending"


async def send(
    doors: Doors, door: str, operation: AnyOperation, arguments: dict[str, Any], brand: Brand
) -> Reply | None:
    """The reply; None when it cannot be sent, or is refused, as JSON or as part of an address."""
    try:
        return await doors.call(door, operation, arguments, key_to(door, brand))
    except (UnicodeEncodeError, httpx.InvalidURL):  # the client's own library refuses to put it into an address
        return None


@pytest.mark.parametrize(("database", "door"), [("sqlite", "mcp"), ("postgres", "http")], indirect=["database"])
@pytest.mark.parametrize("operation", list(CATALOGUE.exposed()), ids=lambda o: o.name)
async def test_nothing_that_an_argument_holds_makes_the_server_fail(
    app: App, world: World, door: str, operation: AnyOperation
) -> None:
    acme = world.acme
    usual = await good(app, operation, acme)
    slow: list[str] = []
    async with doors_of(app) as doors:
        for argument, schema in operation.input.model_json_schema()["properties"].items():
            for name, value in hostile(schema).items():
                again(app, acme, operation)
                began = time.process_time()
                reply = await send(doors, door, operation, usual | {argument: value}, acme)
                if time.process_time() - began > 5:
                    slow.append(f"{argument}: {name}")
                if reply is None:
                    continue
                assert reply.code not in ("internal_error", "http_error"), (argument, name)
                if reply.code != "ok":
                    said = json.dumps(reply.body)
                    assert len(said) < LONGEST_ANSWER, (argument, name)
                    # What a text must look like is said in words, with an example: nobody reads an expression.
                    assert "match pattern" not in said, (argument, name)
    assert not slow


@pytest.mark.parametrize("door", DOORS)
async def test_an_argument_that_somebody_made_up_is_not_repeated_at_length(app: App, world: World, door: str) -> None:
    names = ["x" * 100_000, "\x00" * 100, "\u202e" * 100, "a\r\nb", "\x1b[2J"]
    async with doors_of(app) as doors:
        for operation in CATALOGUE.exposed():
            if door == "http" and operation.route is not None and operation.route.method in ("GET", "DELETE"):
                continue  # over HTTP these would be parts of the address, which is shorter
            for name in names:
                arguments = GOOD[operation.name](world.acme) | {name: 1}
                reply = await doors.call(door, operation, arguments, key_to(door, world.acme))
                assert reply.code == "validation_failed"
                said = json.dumps(reply.body, ensure_ascii=False)
                assert len(said) < LONGEST_ANSWER
                assert not any(ord(c) < 32 or c in "\x7f\u202e" for c in said)


@pytest.mark.parametrize("door", DOORS)
async def test_a_hundred_thousand_made_up_arguments_are_refused_at_once(app: App, world: World, door: str) -> None:
    operation = CATALOGUE.get("create_program")
    assert operation is not None
    async with doors_of(app) as doors:
        began = time.process_time()
        many = {f"argument{n}": n for n in range(100_000)}
        reply = await doors.call(door, operation, many, key_to(door, world.acme))
        assert reply.code == "validation_failed"
        assert time.process_time() - began < 20, "what looks at each pair of them takes hours"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("text", ["a\u202eb@example.com", "a\x7fb@example.com", "a\u200bb@example.com"])
async def test_an_address_with_characters_that_hide_is_none(app: App, world: World, door: str, text: str) -> None:
    async with doors_of(app) as doors:
        for name in ("create_affiliate", "record_lead"):
            operation = CATALOGUE.get(name)
            assert operation is not None
            reply = await doors.call(
                door, operation, GOOD[name](world.acme) | {"email": text}, key_to(door, world.acme)
            )
            assert (reply.code, (reply.body or {})["field"]) == ("validation_failed", "email")


async def test_a_period_may_reach_as_far_as_days_do(app: App, world: World) -> None:
    """The day after its last one and every time zone included."""
    operation = CATALOGUE.get("run_payout_preview")
    assert operation is not None
    async with doors_of(app) as doors:
        for period, code in (
            ({"periodStart": "1970-01-01", "periodEnd": "9998-12-31"}, "ok"),
            ({"periodEnd": "9999-12-31"}, "validation_failed"),
            ({"periodStart": "1969-12-31"}, "validation_failed"),
        ):
            reply = await doors.call("http", operation, period, world.acme.live_token)
            assert reply.code == code, reply.body


async def test_a_limit_as_large_as_stripe_takes_is_stored(app: App, world: World) -> None:
    mint = CATALOGUE.get("mint_affiliate_code")
    assert mint is not None
    limits = {
        "maxRedemptions": 1_000_000_000,
        "minimumAmountCents": 999_999_999_999,
        "minimumAmountCurrency": "IDR",
        "expiresAt": (datetime.now(UTC) + timedelta(days=365)).isoformat(),
    }
    async with doors_of(app) as doors:
        arguments = await good(app, mint, world.acme)
        for too_large in ({"maxRedemptions": 1_000_000_001}, {"minimumAmountCents": 1_000_000_000_000}):
            refused = await doors.call("http", mint, arguments | limits | too_large, world.acme.live_token)
            assert refused.code == "validation_failed"
        reply = await doors.call("http", mint, arguments | limits, world.acme.live_token)
        # The sandbox, as Stripe does, knows how much a currency may be; the store keeps whatever it is handed.
        assert reply.code in ("ok", "stripe_refused")
