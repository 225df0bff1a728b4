"""Postbacks: sales as trackers tell them, by a coupon in an address; and the examples of docs/tracking.md, executed."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import anyio
import httpx
import pytest
from sqlmodel import select
from starlette.applications import Starlette

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.storage.tables import AffiliateLinkRow, CampaignCouponRow, ClickRow, ConversionRow, SaleRow
from rekomi_mcp.transports.postback import canonical
from tests.documents import ROOT
from tests.support.contents import audit_lines, contents
from tests.support.seller import POSTBACK, SALE, Seller, mac, new_secret, now
from tests.support.servers import listening, serving
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio

ORDER: dict[str, str] = {
    "offer_id": "creators",
    "coupon": "sarah20",
    "transaction_id": "order-1",
    "amount": "49.90",
}


@pytest.fixture
async def seller(app: App, client: httpx.AsyncClient, world: World) -> Seller:
    return Seller(client, world.acme.live_token, (await new_secret(app))["secret"])


def conversions(app: App) -> list[ConversionRow]:
    """Of the sales that servers told."""
    with app.open_store().reading() as session:
        query = select(ConversionRow).join(SaleRow).where(SaleRow.source == "server")
        return list(session.exec(query).all())


def sales(app: App) -> list[SaleRow]:
    with app.open_store().reading() as session:
        return list(session.exec(select(SaleRow).where(SaleRow.source == "server")).all())


def lines_of(app: App, world: World) -> list[tuple[str, str]]:
    return [(action, outcome) for brand, action, outcome in audit_lines(app) if brand == world.acme.id]


async def test_a_coupon_in_any_case_names_the_affiliate(app: App, world: World, seller: Seller) -> None:
    answer = await seller.get(ORDER)
    assert answer.status_code == 200
    [row] = conversions(app)
    assert answer.json() == {"ok": True, "conversionId": row.id}
    assert answer.headers["cache-control"] == "no-store"
    assert (row.affiliate_id, row.code, row.method) == (world.acme.affiliate, "SARAH20", "coupon")
    assert (row.amount_minor, row.currency) == (4990, "USD")


async def test_the_same_transaction_again_is_answered_and_not_recorded(app: App, world: World, seller: Seller) -> None:
    await seller.get(ORDER)
    before = contents(app)
    assert (await seller.get(ORDER)).json() == {"ok": True, "deduped": True}
    as_json = {**ORDER, "externalEventId": "order-1", "code": "SARAH20", "amountCents": 4990}
    for name in ORDER:
        del as_json[name]
    assert (await seller.post(SALE, as_json)).json() == {"ok": True, "deduped": True}
    assert contents(app) == before


async def test_it_may_be_posted_as_a_form_or_as_json(app: App, world: World, seller: Seller) -> None:
    forms = seller.signed(ORDER)
    answer = await seller.client.post(POSTBACK, data=forms)
    assert answer.json()["ok"], answer.text
    assert (await seller.client.post(POSTBACK, json=seller.signed(ORDER))).json() == {"ok": True, "deduped": True}
    assert len(conversions(app)) == 1


async def test_a_number_of_a_json_body_is_signed_and_counted_as_it_is_written(
    app: App, world: World, seller: Seller
) -> None:
    body = json.dumps(seller.signed(ORDER | {"amount": "0.10"})).replace('"0.10"', "0.10")
    assert "0.10," in body
    answer = await seller.client.post(POSTBACK, content=body, headers={"content-type": "application/json"})
    assert answer.json()["ok"]
    assert [row.amount_minor for row in conversions(app)] == [10]


@pytest.mark.parametrize("header", ["authorization", "x-rekomi-api-key"])
async def test_a_token_in_a_header_is_proof_enough(app: App, world: World, seller: Seller, header: str) -> None:
    text = f"Bearer {seller.token}" if header == "authorization" else seller.token
    got = await seller.client.get(POSTBACK, params=ORDER, headers={header: text})
    posted = await seller.client.post(POSTBACK, data=ORDER, headers={header: text})
    assert (got.status_code, posted.json()) == (200, {"ok": True, "deduped": True})


async def test_a_body_signed_in_a_header_is_checked(app: App, world: World, seller: Seller) -> None:
    kind = "application/x-www-form-urlencoded"
    good = await seller.post(POSTBACK, urlencode(ORDER).encode(), content_type=kind)
    assert good.json()["ok"]
    wrong = Seller(seller.client, seller.token, "rks_wrong")
    assert (await wrong.post(POSTBACK, urlencode(ORDER).encode(), content_type=kind)).status_code == 401
    signed_get = await seller.client.get(
        POSTBACK, params=ORDER, headers={"authorization": f"Bearer {seller.token}", "x-rekomi-signature": "t=1,sig=0"}
    )
    assert signed_get.status_code == 401


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [("49.90", "USD", 4990), ("49.9", "EUR", 4990), ("49", "USD", 4900), ("980", "JPY", 980), ("0.01", "USD", 1)],
)
async def test_an_amount_is_exact(
    app: App, world: World, seller: Seller, amount: str, currency: str, minor: int
) -> None:
    await seller.get(ORDER | {"amount": amount, "currency": currency})
    assert [(row.amount_minor, row.currency) for row in conversions(app)] == [(minor, currency)]


async def test_the_currency_is_the_organizations_own_unless_given(app: App, world: World, seller: Seller) -> None:
    await operate(app, "update_organization", {"organization": "acme", "homeCurrency": "JPY"})
    await seller.get(ORDER | {"amount": "500"})
    assert [(row.amount_minor, row.currency) for row in conversions(app)] == [(500, "JPY")]


async def test_minor_units_are_taken_too(app: App, world: World, seller: Seller) -> None:
    order = {k: v for k, v in ORDER.items() if k != "amount"}
    await seller.get(order | {"amount_cents": "4990", "offer_id": world.acme.program, "click_id": "", "email": ""})
    assert [row.amount_minor for row in conversions(app)] == [4990]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": "49,90"}, "amount"),
        ({"amount": "1e3"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "0.00"}, "amount"),
        ({"amount": "1.005"}, "amount"),
        ({"amount": "4.5", "currency": "JPY"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": "\u0664\u0669"}, "amount"),
        ({"amount": "999999999999"}, "amount"),
        ({"amount": ""}, "amount"),
        ({"amount_cents": "4990"}, "amount"),
        ({"amount": "", "amount_cents": "49.9"}, "amount_cents"),
        ({"currency": "XXX"}, "currency"),
        ({"transaction_id": ""}, "transaction_id"),
        ({"coupon": ""}, "coupon"),
        ({"offer_id": ""}, "offer_id"),
        ({"email": "nonsense"}, "email"),
        ({"cupon": "SARAH20"}, "cupon"),
    ],
    ids=str,
)
async def test_a_parameter_that_is_wrong_is_named(
    app: App, world: World, seller: Seller, change: dict[str, str], field: str
) -> None:
    answer = await seller.get(ORDER | change)
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert sales(app) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [({"coupon": "NOBODY"}, "coupon"), ({"offer_id": "nothing"}, "offer_id")],
    ids=str,
)
async def test_what_does_not_exist_is_named_as_trackers_name_it(
    app: App, world: World, seller: Seller, change: dict[str, str], field: str
) -> None:
    answer = await seller.get(ORDER | change)
    assert (answer.status_code, answer.json()["field"]) == (404, field)


async def test_a_neighbours_offer_and_an_offer_without_the_coupon_are_not_found(
    app: App, world: World, seller: Seller
) -> None:
    system = System(world.acme.id)
    terms = {"name": "Podcasts", "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
    other = await operate(app, "create_program", terms, system)
    assert (await seller.get(ORDER | {"offer_id": world.neighbour.program})).json()["field"] == "offer_id"
    assert (await seller.get(ORDER | {"offer_id": other["slug"]})).json()["field"] == "coupon"
    assert sales(app) == []


@pytest.mark.parametrize(
    ("told", "minor", "commission"),
    [
        ({"amount": "49.905", "currency": "KWD"}, 49_905, "KWD 9.981"),
        ({"amount": "49.9", "currency": "BHD"}, 49_900, "BHD 9.980"),
        ({"amount": "4990", "currency": "CLP"}, 4990, "CLP 998"),
        ({"amount": "4990", "currency": "ISK"}, 499_000, "ISK 998.00"),
        ({"amount_cents": "4990", "currency": "jod"}, 4990, "JOD 0.998"),
    ],
    ids=str,
)
async def test_a_sale_may_be_in_any_currency_that_stripe_has_and_counts_its_decimals(
    app: App, world: World, seller: Seller, told: dict[str, str], minor: int, commission: str
) -> None:
    order = {name: value for name, value in ORDER.items() if name != "amount"}
    answer = await seller.get(order | told)
    assert answer.status_code == 200, answer.text
    [row] = sales(app)
    assert (row.net_minor, row.currency) == (minor, told["currency"].upper())
    shown = await operate(app, "get_conversion", {"conversionId": answer.json()["conversionId"]}, System(world.acme.id))
    assert shown["commission"] == commission


@pytest.mark.parametrize(
    "told", [{"amount": "49.90", "currency": "CLP"}, {"amount": "1.2345", "currency": "KWD"}], ids=str
)
async def test_an_amount_with_more_decimals_than_its_currency_is_refused(
    app: App, world: World, seller: Seller, told: dict[str, str]
) -> None:
    answer = await seller.get(ORDER | told)
    assert (answer.status_code, answer.json()["field"]) == (400, "amount")
    assert sales(app) == []


async def test_one_transaction_of_two_amounts_is_a_conflict(app: App, world: World, seller: Seller) -> None:
    await seller.get(ORDER)
    answer = await seller.get(ORDER | {"amount": "50.00"})
    assert (answer.status_code, answer.json()["error"]) == (409, "idempotency_conflict")
    assert answer.json()["field"] == "transaction_id"
    assert answer.json()["message"].startswith("This transaction_id was used for a sale of another amount")


async def test_one_transaction_of_two_affiliates_is_a_conflict(app: App, world: World, seller: Seller) -> None:
    system = System(world.acme.id)
    tom = await operate(app, "create_affiliate", {"email": "tom@example.com"}, system)
    sold = {"externalEventId": "order-1", "affiliateId": tom["id"], "amountCents": 4990, "currency": "USD"}
    await operate(app, "record_sale", sold, system)
    answer = await seller.get(ORDER)
    assert (answer.status_code, answer.json()["error"]) == (409, "idempotency_conflict")
    assert answer.json()["message"].startswith("This transaction_id was used for a sale of another affiliate")
    assert answer.json()["field"] == "transaction_id"


def click(app: App, world: World, affiliate: str) -> str:
    """Somebody follows the affiliate's link."""
    with app.open_store().writing() as session:
        link = session.exec(select(AffiliateLinkRow).where(AffiliateLinkRow.affiliate_id == affiliate)).one()
        row = ClickRow(
            organization_id=world.acme.id,
            program_id=world.acme.program,
            affiliate_id=affiliate,
            link_id=link.id,
            visitor_id=f"visitor-of-{affiliate}",
            device="Desktop",
            occurred_at=app.clock() - timedelta(hours=1),
        )
        session.add(row)
        session.flush()
        return row.id


async def test_a_click_of_the_same_affiliate_is_the_same_sale(app: App, world: World, seller: Seller) -> None:
    with_click = ORDER | {"click_id": click(app, world, world.acme.affiliate)}
    assert (await seller.get(with_click)).json()["conversionId"]
    assert (await seller.get(ORDER)).json() == {"ok": True, "deduped": True}
    assert [row.affiliate_id for row in conversions(app)] == [world.acme.affiliate]


@pytest.mark.parametrize("overrides", [True, False], ids=["the coupon overrides clicks", "it does not"])
async def test_between_a_coupon_and_anothers_click_the_coupons_campaign_decides(
    app: App, world: World, seller: Seller, overrides: bool
) -> None:
    tom = await operate(app, "create_affiliate", {"email": "tom@example.com"}, System(world.acme.id))
    with app.open_store().writing() as session:
        coupon = session.get(CampaignCouponRow, world.acme.coupon)
        assert coupon is not None
        coupon.overrides_click_attribution = overrides
    answer = await seller.get(ORDER | {"click_id": click(app, world, tom["id"])})
    assert answer.json()["conversionId"]
    assert [row.affiliate_id for row in conversions(app)] == [world.acme.affiliate if overrides else tom["id"]]


async def test_a_click_that_nobody_knows_loses_no_sale(app: App, world: World, seller: Seller) -> None:
    assert (await seller.get(ORDER | {"click_id": "{click_id}"})).json()["conversionId"]


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


EXAMPLES = re.findall(
    r"<!-- example: ([^>]+) -->\n```(sh|python)\n(.*?)```",
    (ROOT / "docs" / "tracking.md").read_text(encoding="utf-8"),
    flags=re.DOTALL,
)


@pytest.mark.parametrize(("name", "language", "code"), EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
async def test_the_documents_examples_work_as_they_stand(
    app: App, world: World, address: str, tmp_path: Path, name: str, language: str, code: str
) -> None:
    secret = (await new_secret(app))["secret"]
    environment = {
        "PATH": os.environ["PATH"],
        "URL": address,
        "TOKEN": world.acme.live_token,
        "SECRET": secret,
        "ORG": "acme",
    }
    command = [sys.executable, "-c", code] if language == "python" else ["sh", "-euc", code]
    with anyio.fail_after(60):
        ran = await anyio.run_process(command, env=environment, cwd=tmp_path, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    answer = json.loads(ran.stdout)
    assert answer["ok"], answer
    assert [row.id for row in conversions(app)] == [answer["conversionId"]]


def test_the_documents_have_both_doors_in_both_languages() -> None:
    assert {name for name, _, _ in EXAMPLES} == {"s2s curl", "s2s python", "postback curl", "postback python"}
