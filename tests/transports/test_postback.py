"""Postbacks: sales as trackers tell them, by a coupon in an address."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import urlencode

import httpx
import pytest
from sqlmodel import select

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.storage.tables import AffiliateLinkRow, CampaignCouponRow, ClickRow
from tests.support.contents import contents
from tests.support.postbacks import ORDER, conversions, sales
from tests.support.seller import POSTBACK, SALE, Seller, new_secret
from tests.support.terms_watch import as_if_always
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio


@pytest.fixture
async def seller(app: App, client: httpx.AsyncClient, world: World) -> Seller:
    return Seller(client, world.acme.live_token, (await new_secret(app))["secret"])


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
        as_if_always(session)
        coupon = session.get(CampaignCouponRow, world.acme.coupon)
        assert coupon is not None
        coupon.overrides_click_attribution = overrides
    answer = await seller.get(ORDER | {"click_id": click(app, world, tom["id"])})
    assert answer.json()["conversionId"]
    assert [row.affiliate_id for row in conversions(app)] == [world.acme.affiliate if overrides else tom["id"]]


async def test_a_click_that_nobody_knows_loses_no_sale(app: App, world: World, seller: Seller) -> None:
    assert (await seller.get(ORDER | {"click_id": "{click_id}"})).json()["conversionId"]
