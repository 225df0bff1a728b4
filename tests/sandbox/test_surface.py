"""The sandbox from outside: every control route over HTTP, the lists, and how it is embedded."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox import SANDBOX_KEY
from rekomi_mcp.sandbox.app import build_sandbox
from rekomi_mcp.sandbox.server import running_sandbox
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State

pytestmark = pytest.mark.anyio


async def test_the_whole_story_can_be_told_over_http(client: StripeClient, http: httpx.AsyncClient) -> None:
    async def post(path: str, **body: Any) -> JsonObject:
        answer = await http.post(f"/sandbox{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    sale = await post("/checkout", amount=5000, interval="month", email="kim@example.com", metadata={"n": 1})
    renewal = await post("/renew", subscription=sale["subscription"])
    assert renewal["amount_total"] == 5000
    open_invoice = await post("/renew", subscription=sale["subscription"], declined=True)
    assert (await post(f"/invoices/{open_invoice['invoice']}/pay"))["invoice_status"] == "paid"
    refund = await post("/refund", invoice=renewal["invoice"], amount=2000, reason="requested_by_customer")
    assert (refund["amount"], refund["reason"]) == (2000, "requested_by_customer")
    assert (await post(f"/refunds/{refund['id']}/fail"))["status"] == "failed"
    dispute = await post("/dispute", payment_intent=sale["payment_intent"], amount=1000)
    assert (await post(f"/disputes/{dispute['id']}/close", won=False))["status"] == "lost"
    assert (await post(f"/subscriptions/{sale['subscription']}/cancel"))["status"] == "canceled"
    delayed = await post("/checkout", amount=700, delayed=True)
    settled = await post(f"/checkout/sessions/{delayed['session']}/settle", succeeded=True)
    assert settled["payment_status"] == "paid"
    events = await client.v1.events.list_async({"type": "customer.subscription.deleted"})
    assert events.data[0].data.object["id"] == sale["subscription"]


async def test_what_cannot_happen_is_refused_over_http(http: httpx.AsyncClient, people: Simulation) -> None:
    sale = people.checkout(amount=5000, interval="month")
    people.cancel(sale["subscription"])
    wrong: list[tuple[str, JsonObject, int]] = [
        ("/renew", {"subscription": sale["subscription"]}, 400),
        ("/renew", {"subscription": "sub_none"}, 404),
        ("/renew", {}, 400),
        (f"/subscriptions/{sale['subscription']}/cancel", {}, 400),
        (f"/invoices/{sale['invoice']}/pay", {}, 400),
        ("/checkout", {"amount": 5000, "trial_days": 3}, 400),
        ("/checkout", {"amount": -1}, 400),
        ("/checkout/sessions/cs_none/complete", {}, 404),
        ("/dispute", {"charge": "ch_none"}, 400),
    ]
    for path, body, status in wrong:
        answer = await http.post(f"/sandbox{path}", json=body)
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, "invalid_request_error"), path


async def test_the_bare_address_shows_the_summary(http: httpx.AsyncClient) -> None:
    assert (await http.get("/")).json()["mode"] == "sandbox"


async def test_payments_are_listed_by_what_they_belong_to(client: StripeClient, people: Simulation) -> None:
    first, second = [people.checkout(amount=1000, interval="month", email=f"{n}@example.com") for n in range(2)]
    intents = await client.v1.payment_intents.list_async({"customer": first["customer"]})
    charges = await client.v1.charges.list_async({"customer": first["customer"]})
    sessions = await client.v1.checkout.sessions.list_async({"subscription": second["subscription"]})
    invoices = await client.v1.invoices.list_async({"customer": first["customer"], "status": "paid"})
    subscriptions = await client.v1.subscriptions.list_async({"customer": first["customer"]})
    payments = await client.v1.invoice_payments.list_async({"invoice": second["invoice"], "status": "paid"})
    assert [each.id for each in intents.data] == [first["payment_intent"]]
    assert [each.id for each in charges.data] == [first["charge"]]
    assert [each.id for each in sessions.data] == [second["session"]]
    assert [each.id for each in invoices.data] == [first["invoice"]]
    assert [each.id for each in subscriptions.data] == [first["subscription"]]
    assert [each.invoice for each in payments.data] == [second["invoice"]]
    read = await client.v1.invoice_payments.retrieve_async(payments.data[0].id)
    assert (read.amount_paid, read.status) == (1000, "paid")
    lines = await client.v1.invoices.line_items.list_async(first["invoice"], {"limit": 1})
    assert [line.amount for line in lines.data] == [1000]
    priced = (await client.v1.subscriptions.retrieve_async(first["subscription"])).to_dict()["items"]["data"][0]
    by_price = await client.v1.subscriptions.list_async({"price": priced["price"]["id"]})
    assert len(by_price.data) == 2


async def test_products_and_prices_are_kept_and_changed(client: StripeClient) -> None:
    product = await client.v1.products.create_async({"name": "Pro", "id": "prod_mine", "metadata": {"a": "1"}})
    price = await client.v1.prices.create_async(
        {"product": product.id, "currency": "USD", "unit_amount": 900, "recurring": {"interval": "week"}}
    )
    assert (price.type, price.currency, price.unit_amount_decimal) == ("recurring", "usd", 900)
    renamed = await client.v1.products.update_async(product.id, {"name": "Pro 2", "active": False})
    assert (renamed.name, renamed.active) == ("Pro 2", False)
    shelved = await client.v1.prices.update_async(price.id, {"active": False, "nickname": "old"})
    assert (shelved.active, shelved.nickname) == (False, "old")
    assert (await client.v1.prices.list_async({"active": True})).data == []
    assert [each.id for each in (await client.v1.prices.list_async({"product": product.id})).data] == [price.id]
    assert [each.id for each in (await client.v1.products.list_async({"active": False})).data] == [product.id]


async def test_prices_belong_to_one_product(client: StripeClient) -> None:
    made = await client.v1.prices.create_async(
        {"currency": "usd", "unit_amount": 5, "product_data": {"name": "New", "id": "prod_new"}}
    )
    assert made.product == "prod_new"
    await client.v1.prices.update_async(made.id, {"active": False})
    wrong: list[tuple[str, JsonObject, str]] = [
        ("product", {"name": "x", "id": "prod_new"}, "Product already exists"),
        ("price", {"product": "prod_new", "product_data": {"name": "x"}}, "only specify one of these parameters"),
        ("price", {}, "Missing required param: product."),
        ("price", {"product": "prod_none"}, "No such product: 'prod_none'"),
        ("item", {"price": made.id}, "inactive"),
        ("item", {"price": made.id, "price_data": {"currency": "usd", "unit_amount": 5}}, "only specify one"),
        ("item", {"quantity": 1}, "Missing required param: line_items[0][price]."),
    ]
    for kind, params, message in wrong:
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            if kind == "product":
                await client.v1.products.create_async(params)  # pyright: ignore[reportArgumentType]
            elif kind == "price":
                price: Any = {"currency": "usd", "unit_amount": 5, **params}
                await client.v1.prices.create_async(price)
            else:
                session: Any = {"mode": "payment", "success_url": "https://example.com", "line_items": [params]}
                await client.v1.checkout.sessions.create_async(session)
        assert refusal.value.user_message is not None
        assert message in refusal.value.user_message


async def test_a_bug_is_answered_as_stripes_own_failures_are(
    client: StripeClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*request: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("rekomi_mcp.sandbox.api.find_route", broken)
    with pytest.raises(stripe.APIError, match="The sandbox has a bug") as failure:
        await client.v1.coupons.list_async()
    assert failure.value.http_status == 500
    assert "failed to answer GET /v1/coupons" in caplog.text


async def test_background_work_goes_on_after_a_failure(
    state_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken_once(state: State) -> bool:
        monkeypatch.undo()
        raise ZeroDivisionError

    people = Simulation(State(state_path))
    people.checkout(amount=100, interval="day")
    with State(state_path).write() as work:
        work.turn_clock(work.clock + 24 * 3600)
    monkeypatch.setattr("rekomi_mcp.sandbox.app.something_is_due", broken_once)
    async with running_sandbox(state_path):
        with anyio.fail_after(5):
            while people.summary()["counts"]["invoice"] < 2:
                await anyio.sleep(0.05)
    assert "background work failed" in caplog.text


async def test_a_subscriptions_metadata_reaches_its_next_invoice(client: StripeClient, people: Simulation) -> None:
    sale = people.checkout(amount=1000, interval="month")
    changed = await client.v1.subscriptions.update_async(
        sale["subscription"], {"metadata": {"affiliate": "sarah"}, "description": "Pro"}
    )
    assert (changed.metadata.to_dict(), changed.description) == ({"affiliate": "sarah"}, "Pro")
    renewal = people.renew(sale["subscription"])
    invoice = await client.v1.invoices.retrieve_async(renewal["invoice"])
    assert invoice.to_dict()["parent"]["subscription_details"]["metadata"] == {"affiliate": "sarah"}


async def test_the_application_also_answers_without_a_socket(state_path: Path) -> None:
    app = build_sandbox(state_path, deliver=False)
    transport = httpx.ASGITransport(app)
    headers = {"authorization": f"Bearer {SANDBOX_KEY}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client,
    ):
        assert (await client.get("/v1/coupons")).json()["data"] == []


def test_it_imports_neither_the_client_nor_the_rest_of_the_server() -> None:
    code = "import sys, rekomi_mcp.sandbox.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.startswith("rekomi_mcp.") and ".sandbox" not in name}
    assert ours == {"rekomi_mcp.domain", "rekomi_mcp.domain.money"}
    assert "stripe" not in loaded
