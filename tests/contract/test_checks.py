"""The checks find what they are for: each request and each object here is good until one thing in it is changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from rekomi_mcp.sandbox.shapes import PRIVATE
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from tests.contract.checks import JsonObject
from tests.contract.document import stripe_document

DOCUMENT = stripe_document()
CODE = "promotion[type]=coupon&promotion[coupon]=C20&code=SARAH20"
SESSION = "mode=payment&success_url=https://a.b&line_items[0][price]=price_1"


@pytest.mark.parametrize(
    ("verb", "path", "form"),
    [
        ("POST", "promotion_codes", CODE),
        ("POST", "promotion_codes", f"{CODE}&restrictions[first_time_transaction]=true&max_redemptions=3"),
        ("POST", "promotion_codes/promo_1", "active=false&metadata[a]="),
        ("POST", "promotion_codes/promo_1", "metadata="),
        ("POST", "coupons", "percent_off=12.5&duration=once&applies_to[products][]=p1&applies_to[products][]=p2"),
        ("POST", "checkout/sessions", f"{SESSION}&line_items[0][quantity]=2&expand[0]=line_items"),
        ("DELETE", "coupons/C20", ""),
        ("GET", "events", "types[0]=invoice.paid&created[gte]=1&limit=100"),
        ("GET", "events", "created=1"),
        ("GET", "invoice_payments", "payment[type]=payment_intent&payment[payment_intent]=pi_1"),
    ],
)
def test_a_documented_request_passes(verb: str, path: str, form: str) -> None:
    assert DOCUMENT.request(verb, ["v1", *path.split("/")], form) == []


@pytest.mark.parametrize(
    ("verb", "path", "form", "fault"),
    [
        ("POST", "promo_codes", CODE, "POST /v1/promo_codes: not documented"),
        ("DELETE", "promotion_codes/promo_1", "", "DELETE /v1/promotion_codes/promo_1: not documented"),
        ("POST", "promotion_codes", "coupon=C20&" + CODE, ".coupon: not documented"),
        ("POST", "promotion_codes", "code=SARAH20", ".promotion: missing"),
        ("POST", "promotion_codes", "promotion[coupon]=C20", ".promotion.type: missing"),
        ("POST", "promotion_codes", CODE.replace("=coupon", "=gift"), ".promotion.type: 'gift' is not one of coupon"),
        ("POST", "promotion_codes", CODE + "&max_redemptions=3.5", "'3.5' is not of type integer"),
        ("POST", "promotion_codes", CODE + "&restrictions[minimum]=1", ".restrictions.minimum: not documented"),
        ("POST", "promotion_codes", CODE + "&restrictions=", ".restrictions: '' is not an object"),
        ("POST", "promotion_codes", CODE + "&code=TWICE", "is not of type string"),
        ("POST", "promotion_codes/promo_1", "active=yes", ".active: 'yes' is not of type boolean"),
        ("POST", "promotion_codes/promo_1", "metadata=text", ".metadata: 'text' is none of string, object"),
        ("POST", "coupons", "percent_off=much", ".percent_off: 'much' is not of type number"),
        ("POST", "coupons", "duration=twice", ".duration: 'twice' is not one of forever, once, repeating"),
        ("POST", "coupons", "applies_to[products]=p1", ".applies_to.products: 'p1' is not an array"),
        ("POST", "coupons", "applies_to[products][first]=p1", "is not an array"),
        ("POST", "coupons", "applies_to[products][0][id]=p1", ".applies_to.products[0]: {'id': 'p1'}"),
        ("POST", "checkout/sessions", SESSION + "&line_items[0][count]=2", ".line_items[0].count: not documented"),
        ("GET", "events", "since=1", ".since: not documented"),
        ("GET", "events", "created[from]=1", ".created.from: not documented"),
        ("GET", "events", "created=today", ".created: 'today' is none of object, integer"),
    ],
)
def test_an_undocumented_request_is_found(verb: str, path: str, form: str, fault: str) -> None:
    [found] = DOCUMENT.request(verb, ["v1", *path.split("/")], form)
    assert fault in found


def test_another_version_and_another_encoding_are_found() -> None:
    good = {"stripe-version": DOCUMENT.version, "content-type": "application/x-www-form-urlencoded"}
    assert DOCUMENT.headers("POST", good) == []
    assert DOCUMENT.headers("GET", {"stripe-version": DOCUMENT.version}) == []
    assert len(DOCUMENT.headers("POST", good | {"stripe-version": "2020-08-27"})) == 1
    assert len(DOCUMENT.headers("POST", good | {"content-type": "application/json"})) == 1


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, JsonObject]:
    """One object of each kind that a story leaves in the sandbox."""
    state = State(tmp_path_factory.mktemp("contract") / "sandbox.db")
    people = Simulation(state)
    sold = people.checkout(amount=5000, interval="month", tax_percent=10, email="kim@example.com")
    people.renew(sold["subscription"])
    people.refund(payment_intent=sold["payment_intent"], amount=100)
    people.dispute(payment_intent=sold["payment_intent"], amount=100)
    people.register_webhook("http://127.0.0.1:1/hook", "whsec_x")
    with state.read() as work:
        kinds = [kind for (kind,) in work.db.execute("SELECT DISTINCT type FROM objects")]
        found = {kind: next(work.where(kind, {})) for kind in kinds}
    state.close()
    return {kind: {name: value for name, value in item.items() if name != PRIVATE} for kind, item in found.items()}


def test_every_object_of_a_story_is_documented(objects: dict[str, JsonObject]) -> None:
    assert len(objects) >= 12
    assert [fault for item in objects.values() for fault in DOCUMENT.object(item)] == []


def changes(item: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """The object with one thing wrong, in every way that its schema makes wrong."""
    schema = DOCUMENT.objects[item["object"]]
    yield "an unknown field", item | {"colour": "red"}
    for name in schema["required"]:
        if name != "object":
            yield f"no {name}", {other: value for other, value in item.items() if other != name}
            if schema["properties"][name] != {}:
                yield f"null for {name}", item | {name: None}
    for name, field in schema["properties"].items():
        if name in item and name != "object":
            yield f"a wrong {name}", item | {name: {"no": ["such", "thing"]} if _is_plain(field) else 1.5}
        if "enum" in field and name in item and name != "object":
            yield f"an unknown {name}", item | {name: "of-tomorrow"}


def _is_plain(field: JsonObject) -> bool:
    return "object" not in field.get("type", []) and "$ref" not in field and "anyOf" not in field


def test_whatever_is_changed_in_an_object_is_found(objects: dict[str, JsonObject]) -> None:
    tried = [(f"{kind}: {what}", changed) for kind, item in objects.items() for what, changed in changes(item)]
    assert len(tried) > 400
    assert [what for what, changed in tried if not DOCUMENT.object(changed)] == []


def test_what_is_wrong_deep_inside_is_found(objects: dict[str, JsonObject]) -> None:
    invoice: Any = objects["invoice"]
    line = invoice["lines"]["data"][0]
    assert DOCUMENT.object(invoice | {"lines": invoice["lines"] | {"total_count": 1}}) == [
        "invoice.lines.total_count: not documented"
    ]
    wrong = invoice | {"lines": invoice["lines"] | {"data": [line | {"amount": "5000"}]}}
    assert DOCUMENT.object(wrong) == ["invoice.lines.data[0].amount: '5000' is not of type integer"]
    expanded = invoice | {"customer": objects["customer"] | {"livemode": None}}
    assert DOCUMENT.object(expanded) == ["invoice.customer.livemode: None is not of type boolean"]
    assert DOCUMENT.object(invoice | {"customer": objects["charge"]}) != []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"type": "invoice.invented"}, "event.type: 'invoice.invented' is not one of"),
        ({"type": "charge.refunded"}, "charge.refunded: tells of invoice"),
        ({"api_version": "2020-08-27"}, "version 2020-08-27 is not"),
        ({"data": {"object": {"object": "spaceship"}}}, "spaceship: not documented"),
        ({"data": {"object": {"object": "invoice", "id": "in_1"}}}, "invoice.amount_due: missing"),
        ({"previous": {"colour": "red"}}, "previous_attributes.colour: not documented"),
        ({"previous": {"total": "much"}}, "previous_attributes.total: 'much' is not of type integer"),
    ],
)
def test_what_is_wrong_with_an_event_is_found(objects: dict[str, JsonObject], change: JsonObject, fault: str) -> None:
    event = objects["event"] | {"type": "invoice.paid", "data": {"object": objects["invoice"]}}
    assert DOCUMENT.object(event) == []
    if previous := change.pop("previous", None):
        change = {"data": {"object": objects["invoice"], "previous_attributes": cast(JsonObject, previous)}}
    found = DOCUMENT.object(event | change)
    assert any(fault in each for each in found), found


def test_a_wrong_answer_is_found(objects: dict[str, JsonObject]) -> None:
    coupons: Any = {"object": "list", "data": [], "has_more": False, "url": "/v1/coupons"}
    path = ["v1", "coupons"]
    assert DOCUMENT.answer("GET", path, 200, coupons) == []
    assert DOCUMENT.answer("GET", path, 200, coupons | {"data": [objects["charge"]]}) != []
    assert DOCUMENT.answer("GET", path, 200, coupons | {"has_more": None}) != []
    assert DOCUMENT.answer("GET", ["v1", "spaceships"], 200, coupons) != []
    assert DOCUMENT.answer("DELETE", [*path, "C20"], 200, {"id": "C20", "object": "coupon", "deleted": True}) == []
    assert DOCUMENT.answer("DELETE", [*path, "C20"], 200, {"id": "C20", "object": "coupon", "deleted": False}) != []
    error = {"error": {"type": "invalid_request_error", "message": "No."}}
    assert DOCUMENT.answer("GET", path, 400, error) == []
    assert DOCUMENT.answer("GET", path, 400, {"error": {"message": "No."}}) != []
    assert DOCUMENT.answer("GET", path, 400, {"error": error["error"] | {"hint": "?"}}) != []
