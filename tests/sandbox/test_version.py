"""The sandbox speaks the version of Stripe's API that the installed client is made for."""

import pytest
import stripe
from stripe import StripeClient

from rekomi_mcp.sandbox import API_VERSION

pytestmark = pytest.mark.anyio


async def test_the_sandbox_speaks_the_clients_version(client: StripeClient) -> None:
    assert stripe.api_version == API_VERSION
    coupon = await client.v1.coupons.create_async({"percent_off": 20})
    events = await client.v1.events.list_async()
    assert {event.api_version for event in events.data} == {API_VERSION}
    assert coupon.last_response is not None
    assert coupon.last_response.headers["stripe-version"] == API_VERSION
