"""What every request has in common: keys, parameters, errors, idempotency, lists and expansion."""

import base64
from typing import Any

import httpx
import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox import SANDBOX_KEY
from rekomi_mcp.sandbox.server import RunningSandbox
from rekomi_mcp.sandbox.simulate import Simulation

pytestmark = pytest.mark.anyio


def param_of(error: Any) -> str | None:
    """The parameter at fault: the stripe package has it without a type."""
    return error.param


KEY = {"authorization": f"Bearer {SANDBOX_KEY}"}


async def test_no_key_and_a_wrong_key_are_unauthorized(sandbox: RunningSandbox, http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/coupons")
    assert answer.status_code == 401
    assert answer.json()["error"]["message"].startswith("You did not provide an API key.")
    assert answer.headers["request-id"].startswith("req_")

    client = stripe.HTTPXClient(verify_ssl_certs=False)
    for wrong in ("sk_live_4242424242424242", "sk_test_other"):
        impostor = StripeClient(wrong, base_addresses={"api": sandbox.url}, http_client=client)
        with pytest.raises(stripe.AuthenticationError, match="Invalid API Key provided") as refusal:
            await impostor.v1.coupons.list_async()
        assert refusal.value.http_status == 401
        assert wrong not in str(refusal.value)
    await client.close_async()


async def test_basic_authentication_and_longer_keys_work_too(http: httpx.AsyncClient) -> None:
    basic = base64.b64encode(f"{SANDBOX_KEY}_mine:".encode()).decode()
    for credentials in (f"Basic {basic}", f"Bearer {SANDBOX_KEY}_mine"):
        assert (await http.get("/v1/coupons", headers={"authorization": credentials})).status_code == 200
    assert (await http.get("/v1/coupons", headers={"authorization": "Basic $$$"})).status_code == 401


async def test_an_unknown_url_is_a_404(http: httpx.AsyncClient) -> None:
    for method, path in (("GET", "/v1/nonsense"), ("DELETE", "/v1/customers/cus_1"), ("POST", "/v1/coupons/x/y")):
        answer = await http.request(method, path, headers=KEY)
        assert answer.status_code == 404
        message = answer.json()["error"]["message"]
        assert message == f"Unrecognized request URL ({method}: {path})."


async def test_parameters_are_checked_by_name_presence_and_type(http: httpx.AsyncClient) -> None:
    wrong: list[tuple[str, dict[str, str], str | None, str, str]] = [
        ("/v1/coupons", {"colour": "red"}, "parameter_unknown", "colour", "Received unknown parameter: colour"),
        (
            "/v1/promotion_codes",
            {"promotion[type]": "coupon", "promotion[nope]": "1"},
            "parameter_unknown",
            "promotion[nope]",
            "Received unknown parameter: promotion[nope]",
        ),
        ("/v1/products", {}, "parameter_missing", "name", "Missing required param: name."),
        (
            "/v1/coupons",
            {"percent_off": "10", "max_redemptions": "many"},
            "parameter_invalid_integer",
            "max_redemptions",
            "Invalid integer: many",
        ),
        ("/v1/products", {"name": ""}, "parameter_invalid_empty", "name", "You passed an empty string for 'name'."),
        ("/v1/products", {"name": "x", "active": "maybe"}, None, "active", "Invalid boolean: maybe"),
        ("/v1/products", {"name": "x", "metadata": "text"}, None, "metadata", "Invalid object"),
        (
            "/v1/checkout/sessions",
            {"mode": "payment", "success_url": "https://x", "line_items": "text"},
            None,
            "line_items",
            "Invalid array",
        ),
        (
            "/v1/checkout/sessions",
            {"mode": "payment", "success_url": "https://x", "line_items[0][quantity]": "none"},
            "parameter_invalid_integer",
            "line_items[0][quantity]",
            "Invalid integer: none",
        ),
        ("/v1/prices", {"currency": "dollars", "unit_amount": "1"}, None, "currency", "Invalid currency: dollars."),
        ("/v1/prices", {"currency": "xxq", "unit_amount": "1"}, None, "currency", "Invalid currency: xxq."),
        ("/v1/products", {f"metadata[{'k' * 41}]": "1"}, None, f"metadata[{'k' * 41}]", "Metadata keys"),
        ("/v1/products", {"metadata[k]": "v" * 501}, None, "metadata[k]", "Metadata values"),
        ("/v1/products", {f"metadata[{n}]": "1" for n in range(51)}, None, "metadata", "Metadata can have at most 50"),
        ("/v1/products", {"name[x]": "1"}, None, "name", "Invalid string"),
        ("/v1/promotion_codes", {"promotion": "text"}, None, "promotion", "Invalid object"),
        ("/v1/accounts", {"capabilities": "text"}, None, "capabilities", "Invalid object"),
        ("/v1/customers", {"expand": "text"}, None, "expand", "Invalid array"),
        ("/v1/customers", {"name": "x", "name[y]": "1"}, None, "name[y]", "Invalid object"),
    ]
    for path, form, code, param, message in wrong:
        answer = await http.post(path, data={"name": "x", **form} if "metadata" in param else form, headers=KEY)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
        assert (error.get("code"), error["param"]) == (code, param)
        assert error["message"].startswith(message)


async def test_arrays_may_be_written_with_or_without_numbers(http: httpx.AsyncClient) -> None:
    for spelled in ("expand[]=applies_to", "expand[0]=applies_to"):
        answer = await http.post("/v1/coupons", content=f"percent_off=5&{spelled}", headers=KEY)
        assert answer.json()["applies_to"] == {"products": []}


async def test_a_repeated_idempotency_key_repeats_the_answer(client: StripeClient) -> None:
    first = await client.v1.coupons.create_async({"percent_off": 20}, {"idempotency_key": "k"})
    again = await client.v1.coupons.create_async({"percent_off": 20}, {"idempotency_key": "k"})
    assert again.to_dict() == first.to_dict()
    assert first.last_response is not None
    assert again.last_response is not None
    assert "idempotent-replayed" not in first.last_response.headers
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["original-request"] == first.last_response.request_id
    assert len((await client.v1.coupons.list_async()).data) == 1
    [event] = (await client.v1.events.list_async()).data
    assert event.request is not None
    assert event.request.to_dict() == {"id": first.last_response.request_id, "idempotency_key": "k"}


async def test_a_key_is_for_one_request_only(client: StripeClient) -> None:
    await client.v1.coupons.create_async({"percent_off": 20}, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError, match="same parameters they were first used with") as refusal:
        await client.v1.coupons.create_async({"percent_off": 30}, {"idempotency_key": "k"})
    assert refusal.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        await client.v1.products.create_async({"name": "x"}, {"idempotency_key": "k"})


async def test_a_key_remembers_refusals_by_state_but_not_bad_input(client: StripeClient) -> None:
    options: Any = {"idempotency_key": "typo"}
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.coupons.create_async({"percent_off": 200}, options)
    assert (await client.v1.coupons.create_async({"percent_off": 20, "id": "A"}, options)).id == "A"

    options = {"idempotency_key": "taken"}
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError, match="already exists"):
            await client.v1.coupons.create_async({"percent_off": 20, "id": "A"}, options)
        await client.v1.coupons.delete_async("A") if (await client.v1.coupons.list_async()).data else None


async def test_lists_are_paged_newest_first_in_both_directions(client: StripeClient) -> None:
    ids = [(await client.v1.coupons.create_async({"percent_off": 5, "id": f"C{number}"})).id for number in range(7)]
    newest_first = ids[::-1]
    first = await client.v1.coupons.list_async({"limit": 3})
    assert ([coupon.id for coupon in first.data], first.has_more, first.url) == (newest_first[:3], True, "/v1/coupons")
    last = await client.v1.coupons.list_async({"limit": 3, "starting_after": newest_first[3]})
    assert ([coupon.id for coupon in last.data], last.has_more) == (newest_first[4:], False)
    before = await client.v1.coupons.list_async({"limit": 2, "ending_before": newest_first[4]})
    assert ([coupon.id for coupon in before.data], before.has_more) == (newest_first[2:4], True)
    assert [coupon.id async for coupon in first.auto_paging_iter()] == newest_first
    for limit, length in ((0, 1), (1000, 7)):
        assert len((await client.v1.coupons.list_async({"limit": limit})).data) == length
    with pytest.raises(stripe.InvalidRequestError, match="No such coupon: 'NONE'") as refusal:
        await client.v1.coupons.list_async({"starting_after": "NONE"})
    assert param_of(refusal.value) == "starting_after"


async def test_lists_are_filtered_by_age(client: StripeClient, people: Simulation) -> None:
    old = await client.v1.customers.create_async({"email": "old@example.com"})
    people.advance(days=1)
    new = await client.v1.customers.create_async({"email": "new@example.com"})
    later = await client.v1.customers.list_async({"created": {"gt": old.created}})
    assert [customer.id for customer in later.data] == [new.id]
    exactly = await client.v1.customers.list_async({"created": old.created})
    assert [customer.id for customer in exactly.data] == [old.id]
    by_email = await client.v1.customers.list_async({"email": "old@example.com"})
    assert [customer.id for customer in by_email.data] == [old.id]


async def test_references_are_expanded_also_in_lists_and_several_levels_deep(
    client: StripeClient, people: Simulation
) -> None:
    coupon = await client.v1.coupons.create_async({"percent_off": 20, "duration": "forever"})
    code = await client.v1.promotion_codes.create_async(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "SARAH20", "expand": ["promotion.coupon"]}
    )
    assert isinstance(code.promotion.coupon, stripe.Coupon)
    sale = people.checkout(amount=5000, interval="month", code="SARAH20")
    invoice = await client.v1.invoices.retrieve_async(
        sale["invoice"],
        {
            "expand": [
                "discounts.promotion_code.promotion.coupon",
                "lines.data.discounts",
                "payments.data.payment.payment_intent",
                "customer",
            ]
        },
    )
    [discount] = invoice.to_dict()["discounts"]
    assert discount["promotion_code"]["id"] == code.id
    assert discount["promotion_code"]["promotion"]["coupon"]["id"] == coupon.id
    assert invoice.to_dict()["payments"]["data"][0]["payment"]["payment_intent"]["id"] == sale["payment_intent"]
    assert isinstance(invoice.customer, stripe.Customer)
    listed = await client.v1.invoices.list_async({"expand": ["data.discounts.promotion_code"]})
    assert listed.to_dict()["data"][0]["discounts"][0]["promotion_code"]["code"] == "SARAH20"


async def test_what_cannot_be_expanded_is_refused(client: StripeClient, people: Simulation) -> None:
    sale = people.checkout(amount=5000, interval="month")
    wrong = {
        "nonsense": r"This property cannot be expanded \(nonsense\)\.",
        "status": r"This property cannot be expanded \(status\)\.",
        "lines.data.a.b.c": "You cannot expand more than 4 levels of a property. Property: lines.data.a.b.c",
    }
    for path, message in wrong.items():
        with pytest.raises(stripe.InvalidRequestError, match=message):
            await client.v1.invoices.retrieve_async(sale["invoice"], {"expand": [path]})
    with pytest.raises(stripe.InvalidRequestError, match=r"You may want to try expanding 'data\.customer' instead"):
        await client.v1.invoices.list_async({"expand": ["customer"]})
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        await client.v1.coupons.create_async({"percent_off": 5, "expand": ["nonsense"]})
    assert (await client.v1.coupons.list_async()).data == []


async def test_metadata_is_merged_and_emptied_key_by_key(client: StripeClient) -> None:
    customer = await client.v1.customers.create_async({"metadata": {"a": "1", "b": "2", "c": ""}})
    assert customer.metadata is not None
    assert customer.metadata.to_dict() == {"a": "1", "b": "2"}
    changed = await client.v1.customers.update_async(customer.id, {"metadata": {"a": "", "d": "4"}, "name": "Kim"})
    assert changed.metadata is not None
    assert (changed.metadata.to_dict(), changed.name) == ({"b": "2", "d": "4"}, "Kim")


async def test_an_empty_id_is_the_list_as_at_stripe(client: StripeClient, http: httpx.AsyncClient) -> None:
    await client.v1.coupons.create_async({"percent_off": 5})
    assert (await http.get("/v1/coupons/", headers=KEY)).json()["object"] == "list"


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"amount":100,"email":"\\ud800"}', b"\xff", b'"words"'])
async def test_a_body_of_the_control_api_that_is_no_good_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    assert (await http.post("/sandbox/checkout", content=body)).status_code == 400
