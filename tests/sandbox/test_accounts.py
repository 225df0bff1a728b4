"""Connected accounts: each has objects of its own, and its events say whose they are."""

import httpx
import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox import SANDBOX_KEY
from rekomi_mcp.sandbox.simulate import Simulation

pytestmark = pytest.mark.anyio


async def test_an_account_is_created_and_read_back(client: StripeClient) -> None:
    made = await client.v1.accounts.create_async(
        {
            "type": "express",
            "country": "DE",
            "email": "sarah@example.com",
            "capabilities": {"transfers": {"requested": True}},
            "metadata": {"affiliate": "sarah"},
        }
    )
    read = await client.v1.accounts.retrieve_async(made.id)
    assert read.to_dict() == made.to_dict()
    assert (read.type, read.country, read.email, read.payouts_enabled) == ("express", "DE", "sarah@example.com", True)
    assert read.to_dict()["capabilities"] == {"transfers": "active"}
    assert [each.id for each in (await client.v1.accounts.list_async()).data] == [made.id]


async def test_every_account_has_objects_of_its_own(client: StripeClient) -> None:
    account = await client.v1.accounts.create_async({})
    theirs = await client.v1.coupons.create_async({"percent_off": 20, "id": "SAME"}, {"stripe_account": account.id})
    ours = await client.v1.coupons.create_async({"percent_off": 50, "id": "SAME"})
    assert (theirs.percent_off, ours.percent_off) == (20, 50)
    found = await client.v1.coupons.list_async({}, {"stripe_account": account.id})
    assert [coupon.percent_off for coupon in found.data] == [20]
    own = await client.v1.accounts.retrieve_current_async()
    mine = await client.v1.coupons.list_async({}, {"stripe_account": own.id})
    assert [coupon.percent_off for coupon in mine.data] == [50]


async def test_events_of_a_connected_account_carry_its_id(client: StripeClient, people: Simulation) -> None:
    account = await client.v1.accounts.create_async({})
    await client.v1.coupons.create_async({"percent_off": 20}, {"stripe_account": account.id})
    [event] = (await client.v1.events.list_async({}, {"stripe_account": account.id})).data
    assert event.account == account.id
    await client.v1.coupons.create_async({"percent_off": 20})
    [event] = (await client.v1.events.list_async()).data
    assert "account" not in event


async def test_endpoints_hear_their_own_events_or_those_of_connected_accounts(
    client: StripeClient, people: Simulation
) -> None:
    account = await client.v1.accounts.create_async({})
    for connect in (True, False):
        await client.v1.webhook_endpoints.create_async(
            {"url": f"http://127.0.0.1:9/{connect}", "enabled_events": ["coupon.created"], "connect": connect}
        )
    people.register_webhook("http://127.0.0.1:9/all", "whsec_x", ["coupon.created"])
    await client.v1.coupons.create_async({"percent_off": 20}, {"stripe_account": account.id})
    await client.v1.coupons.create_async({"percent_off": 20})
    for options in ({"stripe_account": account.id}, {}):
        [event] = (await client.v1.events.list_async({"type": "coupon.created"}, options)).data  # pyright: ignore[reportArgumentType]
        assert event.pending_webhooks == 2


async def test_people_buy_from_connected_accounts_too(client: StripeClient, http: httpx.AsyncClient) -> None:
    account = await client.v1.accounts.create_async({})
    headers = {"stripe-account": account.id}
    sale = (await http.post("/sandbox/checkout", json={"amount": 1000, "interval": "month"}, headers=headers)).json()
    renewal = await http.post("/sandbox/renew", json={"subscription": sale["subscription"]}, headers=headers)
    assert renewal.json()["invoice_status"] == "paid"
    assert (await client.v1.invoices.list_async()).data == []
    assert len((await client.v1.invoices.list_async({}, {"stripe_account": account.id})).data) == 2


async def test_an_account_nobody_connected_is_forbidden(client: StripeClient, http: httpx.AsyncClient) -> None:
    with pytest.raises(stripe.PermissionError, match="does not have access to account 'acct_none'") as refusal:
        await client.v1.coupons.list_async({}, {"stripe_account": "acct_none"})
    assert refusal.value.http_status == 403
    assert refusal.value.error is not None
    assert refusal.value.error.code == "account_invalid"
    answer = await http.post("/sandbox/checkout", json={"amount": 1}, headers={"stripe-account": "acct_none"})
    assert answer.status_code == 403


async def test_the_own_account_can_be_read_without_knowing_its_id(client: StripeClient) -> None:
    own = await client.v1.accounts.retrieve_current_async()
    assert own.id.startswith("acct_")
    account = await client.v1.accounts.create_async({})
    connected = await client.v1.accounts.retrieve_current_async({}, {"stripe_account": account.id})
    assert connected.id == account.id
    assert SANDBOX_KEY.startswith("sk_test_")
