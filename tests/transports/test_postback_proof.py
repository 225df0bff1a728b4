"""Who sends a postback: tokens, signatures and limits; and the examples of docs/tracking.md, executed."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import anyio
import httpx
import pytest
from starlette.applications import Starlette

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.transports.postback import canonical
from tests.documents import ROOT
from tests.support.contents import audit_lines, contents
from tests.support.postbacks import ORDER, conversions, lines_of, sales
from tests.support.seller import POSTBACK, Seller, mac, new_secret, now
from tests.support.servers import listening, serving
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio


@pytest.fixture
async def seller(app: App, client: httpx.AsyncClient, world: World) -> Seller:
    return Seller(client, world.acme.live_token, (await new_secret(app))["secret"])


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "99.90"},
        {"coupon": "SARAH21"},
        {"org": "neighbour"},
        {"org": "nobody"},
        {"customer_id": "more"},
        {"sig": "0" * 64},
    ],
    ids=str,
)
async def test_parameters_that_were_changed_are_not_those_that_were_signed(
    app: App, world: World, seller: Seller, change: dict[str, str]
) -> None:
    before = contents(app), audit_lines(app)
    answer = await seller.client.get(POSTBACK, params=seller.signed(ORDER) | change)
    assert (answer.status_code, answer.json()["error"]) == (401, "signature_mismatch")
    assert (contents(app), audit_lines(app)) == before


async def test_an_organization_without_a_secret_looks_like_none_to_a_stranger(seller: Seller) -> None:
    answers = [
        await Seller(seller.client, "", "rks_x", organization).get(ORDER) for organization in ("neighbour", "nobody")
    ]
    assert answers[0].json() == answers[1].json()
    assert answers[0].status_code == 401


@pytest.mark.parametrize("left_out", ["org", "t", "sig"])
async def test_half_a_proof_is_none(app: App, world: World, seller: Seller, left_out: str) -> None:
    parameters = {name: value for name, value in seller.signed(ORDER).items() if name != left_out}
    answer = await seller.client.get(POSTBACK, params=parameters)
    assert (answer.status_code, answer.json()["error"]) == (401, "signature_required")
    assert sales(app) == []


@pytest.mark.parametrize("off", [-301, 301])
async def test_an_address_that_was_signed_at_another_time_is_stale(
    app: App, world: World, seller: Seller, off: int
) -> None:
    answer = await seller.get(ORDER, at=now() + off)
    assert (answer.status_code, answer.json()["error"]) == (401, "signature_stale")
    assert sales(app) == []


async def test_a_time_in_milliseconds_is_told_to_be_in_seconds(app: App, world: World, seller: Seller) -> None:
    answer = await seller.get(ORDER, at=now() * 1000)
    assert (answer.status_code, answer.json()["error"]) == (401, "signature_required")
    assert "t is the time of signing in Unix seconds" in answer.json()["message"]
    assert sales(app) == []


async def test_parameters_signed_in_another_order_are_told_the_order(world: World, seller: Seller) -> None:
    given = {"transaction_id": "order-1", "org": "acme", "t": str(now()), "amount": "49.90"}
    wrong = given | {"sig": mac(seller.secret, urlencode(given).encode())}
    answer = await seller.client.get(POSTBACK, params=wrong)
    assert (answer.status_code, answer.json()["error"]) == (401, "signature_mismatch")
    assert "sorted by name and percent-encoded" in answer.json()["message"]


async def test_a_parameter_that_is_unknown_is_answered_with_those_that_are(world: World, seller: Seller) -> None:
    answer = await seller.get(ORDER | {"zzz": "1"})
    message = answer.json()["message"]
    assert message.startswith("Unknown argument 'zzz'. This call takes: offer_id, coupon,")
    assert message.endswith("email, org, t, sig.")


async def test_a_token_never_goes_into_an_address(app: App, world: World, seller: Seller) -> None:
    answer = await seller.client.get(POSTBACK, params=ORDER | {"key": seller.token})
    assert (answer.status_code, answer.json()["error"]) == (401, "signature_required")
    assert "never part of an address" in answer.json()["message"]
    both = await seller.client.get(
        POSTBACK, params=seller.signed(ORDER), headers={"authorization": f"Bearer {seller.token}"}
    )
    assert (both.status_code, both.json()["error"]) == (401, "unauthorized")


async def test_a_reading_token_tells_nothing(app: App, world: World, seller: Seller) -> None:
    wanted = {"organization": "acme", "kind": "LIVE", "name": "reader", "scope": "read"}
    made = await operate(app, "create_token", wanted)
    lines = lines_of(app, world)
    answer = await seller.client.get(POSTBACK, params=ORDER, headers={"x-rekomi-api-key": made["token"]})
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    assert lines_of(app, world)[len(lines) :] == [("sale.recorded", "forbidden")]


async def test_without_a_subscription_nothing_is_recorded(app: App, world: World, seller: Seller) -> None:
    await operate(app, "update_organization", {"organization": "acme", "status": "None"})
    assert (await seller.get(ORDER)).status_code == 402
    await operate(app, "update_organization", {"organization": "acme", "plan": "Starter", "status": "Trialing"})
    assert (await seller.get(ORDER)).status_code == 200


async def test_each_postback_leaves_one_line_with_the_secret_as_its_actor(
    app: App, world: World, seller: Seller
) -> None:
    lines = lines_of(app, world)
    await seller.get(ORDER)
    await seller.get(ORDER | {"amount": "nonsense"})
    assert lines_of(app, world)[len(lines) :] == [("sale.recorded", "ok"), ("sale.recorded", "validation_failed")]
    log = await operate(app, "list_audit_log", {"take": 1}, System(world.acme.id))
    assert log["items"][0]["actorType"] == "api_key"


@pytest.mark.usefixtures("still_minute")
@pytest.mark.parametrize("settings", [{"rate_limit_per_minute": 2}], indirect=True)
async def test_a_server_with_only_its_secret_has_a_callers_limit(app: App, world: World, seller: Seller) -> None:
    answers = [await seller.get(ORDER) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


async def test_looking_at_an_address_sells_nothing(app: App, world: World, seller: Seller) -> None:
    answer = await seller.client.head(POSTBACK, params=seller.signed(ORDER))
    assert answer.status_code == 405
    assert sales(app) == []


@pytest.mark.parametrize(
    ("method", "query", "content", "kind"),
    [
        ("GET", "", b"amount=1", "application/x-www-form-urlencoded"),
        ("GET", "amount=1&amount=2", b"", ""),
        ("GET", "amount", b"", ""),
        ("GET", "amount=%ff", b"", ""),
        ("POST", "amount=1", b"", "application/x-www-form-urlencoded"),
        ("POST", "", b"amount=1&amount=2", "application/x-www-form-urlencoded"),
        ("POST", "", b"{", "application/json"),
        ("POST", "", b'{"amount":true}', "application/json"),
        ("POST", "", b'{"amount":null}', "application/json"),
        ("POST", "", b'{"amount":{"a":"1"}}', "application/json"),
        ("POST", "", b"amount=1", "text/plain"),
        ("POST", "", b"amount=1", ""),
    ],
)
@pytest.mark.parametrize("keyed", [True, False], ids=["keyed", "unkeyed"])
async def test_a_request_that_cannot_be_read_is_refused(
    app: App, world: World, seller: Seller, method: str, query: str, content: bytes, kind: str, keyed: bool
) -> None:
    headers = {"content-type": kind} | ({"authorization": f"Bearer {seller.token}"} if keyed else {})
    address = f"{POSTBACK}?{query}" if query else POSTBACK
    answer = await seller.client.request(method, address, content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "validation_failed")
    assert sales(app) == []


async def test_a_form_that_is_too_large_is_not_read(world: World, seller: Seller) -> None:
    answer = await seller.client.post(POSTBACK, data=ORDER | {"customer_id": "x" * 20_000})
    assert answer.status_code == 413


async def test_one_transaction_told_by_many_at_once_is_one_sale(app: App, world: World, seller: Seller) -> None:
    answers: list[dict[str, Any]] = []

    async def tell() -> None:
        answers.append((await seller.get(ORDER)).json())

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(tell)
    assert sorted(answer.get("deduped", False) for answer in answers) == [False] + [True] * 7
    assert len(sales(app)) == 1


def test_what_is_signed_is_sorted_and_encoded_in_one_way_only() -> None:
    parameters = {"t": "1", "coupon": "A B+C", "sig": "x", "email": "jané@example.com", "empty": "", "a~b": "-._~/"}
    assert canonical(parameters) == b"a~b=-._~%2F&coupon=A%20B%2BC&email=jan%C3%A9%40example.com&empty=&t=1"
    assert mac("rks_key", canonical(parameters)) == mac("rks_key", canonical(dict(reversed(parameters.items()))))


@pytest.fixture
async def address(facade: Starlette) -> AsyncGenerator[str]:
    """The application on a port of its own, for callers that are programs."""
    with listening() as listener:
        async with serving(facade, listener) as url:
            yield url


Example = Callable[[str], Awaitable[dict[str, Any]]]
EXAMPLES = {
    name: (language, code)
    for name, language, code in re.findall(
        r"<!-- example: ([^>]+) -->\n```(sh|python)\n(.*?)```",
        (ROOT / "docs" / "tracking.md").read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
}


SALES = [name for name in EXAMPLES if name != "refund curl"]


@pytest.fixture
async def run_example(app: App, world: World, address: str, tmp_path: Path) -> Example:
    """Run an example as it stands; answers what it printed."""
    environment = {
        "PATH": os.environ["PATH"],
        "URL": address,
        "TOKEN": world.acme.live_token,
        "SECRET": (await new_secret(app))["secret"],
        "ORG": "acme",
    }

    async def run(name: str) -> dict[str, Any]:
        language, code = EXAMPLES[name]
        command = [sys.executable, "-c", code] if language == "python" else ["sh", "-euc", code]
        with anyio.fail_after(60):
            ran = await anyio.run_process(command, env=environment, cwd=tmp_path, check=False)
        assert (ran.returncode, ran.stderr) == (0, b"")
        answer = json.loads(ran.stdout)
        assert answer["ok"], answer
        return answer

    return run


@pytest.mark.parametrize("name", SALES)
async def test_the_documents_examples_work_as_they_stand(app: App, run_example: Example, name: str) -> None:
    answer = await run_example(name)
    assert [row.id for row in conversions(app)] == [answer["conversionId"]]


async def test_the_documents_refund_is_of_the_sale_before_it(app: App, run_example: Example) -> None:
    sold = await run_example("sale curl")
    refunded = await run_example("refund curl")
    assert (refunded["conversionId"], refunded["amountLeftCents"]) == (sold["conversionId"], 6600)
    assert refunded["commissionLeftCents"] * 3 == sold["commissionCents"] * 2


def test_the_documents_have_every_door_and_both_languages_where_calls_are_signed() -> None:
    signed = {"s2s curl", "s2s python", "postback curl", "postback python"}
    assert EXAMPLES.keys() == {*signed, "sale curl", "refund curl"}
