"""Stripe over a case answers as Stripe does: objects, lists, expanded ids, and the past."""

from __future__ import annotations

import httpx
import pytest

from tests.cases.api import CaseApi
from tests.cases.building.__main__ import OWN
from tests.cases.case import Case


def _case(name: str) -> Case:
    [folder] = OWN.glob(f"*_{name}")
    return Case.load(folder)


def _first_id(case: Case, kind: str) -> str:
    return case.api_state[kind][0]["id"]


def test_discounts_and_payments_of_an_invoice_can_be_expanded() -> None:
    case = _case("subscription_by_checkout")
    query = "expand[0]=discounts&expand[1]=lines.data.discounts&expand[2]=payments"
    status, invoice = CaseApi(case).answer("GET", f"/v1/invoices/{_first_id(case, 'invoice')}", query)
    assert status == 200
    assert invoice["discounts"][0]["promotion_code"] == case.seeds.codes[0].promotion_code
    assert invoice["payments"]["data"][0]["payment"]["payment_intent"] == _first_id(case, "payment_intent")


def test_a_payment_leads_to_its_invoice_and_to_its_session() -> None:
    by_invoice, by_session = _case("subscription_by_checkout"), _case("one_off_by_a_guest")
    paid = f"payment[type]=payment_intent&payment[payment_intent]={_first_id(by_invoice, 'payment_intent')}"
    [payment] = CaseApi(by_invoice).answer("GET", "/v1/invoice_payments", paid)[1]["data"]
    assert payment["invoice"] == _first_id(by_invoice, "invoice")
    bought = f"payment_intent={_first_id(by_session, 'payment_intent')}"
    [session] = CaseApi(by_session).answer("GET", "/v1/checkout/sessions", bought)[1]["data"]
    assert session["id"] == _first_id(by_session, "checkout.session")


def test_events_come_newest_first_and_in_pages() -> None:
    case = _case("full_refund")
    api, ids = CaseApi(case), [event["id"] for event in case.api_state["event"]]
    seen: list[str] = []
    more, after = True, ""
    while more:
        page = api.answer("GET", "/v1/events", f"limit=2{after}")[1]
        seen += [event["id"] for event in page["data"]]
        more, after = page["has_more"], f"&starting_after={seen[-1]}"
    assert seen == ids[::-1]


def test_an_object_is_shown_as_it_was_when_a_delivery_arrives() -> None:
    case = _case("refund_that_fails")
    api, path = CaseApi(case), f"/v1/refunds/{_first_id(case, 'refund')}"
    api.before()
    assert api.answer("GET", path, "")[0] == 404
    made = next(delivery.n for delivery in case.deliveries if delivery.type == "refund.created")
    api.delivering(made)
    assert api.answer("GET", path, "")[1]["status"] == "succeeded"
    api.delivering(len(case.deliveries))
    assert api.answer("GET", path, "")[1]["status"] == "failed"


@pytest.mark.parametrize("name", ["code_switched_off", "coupon_deleted"])
def test_a_code_can_be_adopted_before_it_dies(name: str) -> None:
    case = _case(name)
    api, code = CaseApi(case), case.seeds.codes[0]
    path = f"/v1/promotion_codes/{code.promotion_code}"
    assert api.answer("GET", path, "")[1]["active"] is False
    api.before()
    alive = api.answer("GET", path, "expand[0]=promotion.coupon")[1]
    assert (alive["active"], alive["promotion"]["coupon"]["valid"]) == (True, True)


def test_what_is_not_there_is_missing() -> None:
    api = CaseApi(_case("coupon_deleted"))
    assert api.answer("GET", "/v1/coupons/AFF20O", "")[1]["error"]["code"] == "resource_missing"
    assert api.answer("POST", "/v1/coupons", "")[0] == 404


def test_it_can_stand_behind_an_http_client() -> None:
    case = _case("full_refund")
    with httpx.Client(transport=httpx.MockTransport(CaseApi(case).handle), base_url="http://stripe") as client:
        answer = client.get("/v1/refunds", params={"charge": _first_id(case, "charge"), "limit": 100})
    assert [row["id"] for row in answer.json()["data"]] == [_first_id(case, "refund")]
