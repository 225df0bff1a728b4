"""How the tracking fares: each trouble is named with what to do about it, and a good state is called good."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

import rekomi_mcp.storage as storage
from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.domain.errors import Refusal, StripeUnavailable
from rekomi_mcp.gateways.stripe import StripeAccount
from rekomi_mcp.gateways.stripe_inbox import inbox_row
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.settings import Settings
from rekomi_mcp.storage.tables import AffiliateCodeRow, InboxEventRow, OutboundCallRow
from rekomi_mcp.tools.reconciling import health as health_of
from rekomi_mcp.tools.reconciling import stripe_state, stripe_walk
from tests.support.contents import audit_lines
from tests.support.shop import JsonObject, Shop, open_shop
from tests.support.stripe_events import deliver, events_of, states
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio


async def health(shop: Shop) -> JsonObject:
    return await shop.do("tracking_health")


async def one_step(shop: Shop) -> str:
    """What has to be done, when it is one thing."""
    found = await health(shop)
    assert found["healthy"] is False
    [step] = found["nextSteps"]
    return step


def give_up(shop: Shop, *ids: str, account: str = "self", error: str = "stripe_refused") -> None:
    """Events that were tried for two days."""
    event: JsonObject = {"type": "invoice.paid", "created": 1, "data": {"object": {"id": "in_1"}}}
    told = {"account": account, "state": "failed", "note": error, "attempts": 12}
    rows = [inbox_row({**event, "id": id}, source="webhook", live=False, now=shop.app.clock()) | told for id in ids]
    with shop.app.open_store().writing() as session:
        storage.inbox.store(session, rows)


async def test_a_server_that_hears_everything_is_healthy(shop: Shop) -> None:
    await shop.sign()
    await shop.sell(10_000, code="SARAH20")
    found = await health(shop)
    assert (found["healthy"], found["nextSteps"]) == (True, [])
    [source] = found["sources"]
    assert source["source"] == "poll"
    assert 0 <= source["secondsAgo"] < 60
    assert (found["webhookSecretSet"], found["pollSeconds"], found["stripeMode"]) == (False, 2.0, "sandbox")
    assert (found["stripeReachable"], found["waitingEvents"], found["failedEventsTotal"]) == (True, 0, 0)
    assert 0 <= found["readSecondsAgo"] < 60


async def test_a_server_that_never_read_events_is_told_to_start(shop: Shop) -> None:
    assert "never read" in await one_step(shop)


@pytest.mark.parametrize(
    ("away", "words"),
    [
        ({"seconds": 3 * 3600}, "read 3 hours ago: check"),
        ({"days": 31}, "30 days: start the server, then run find_missed"),
    ],
)
async def test_a_silence_is_told_with_its_length(shop: Shop, away: dict[str, int], words: str) -> None:
    await shop.catch_up()
    shop.customers.advance(**away)
    assert words in await one_step(shop)


async def be_away(shop: Shop, code: str | None = None) -> tuple[str, str]:
    """The server was off; answers since when and until when the health says that events were never read."""
    await shop.catch_up()
    shop.restart()
    shop.customers.advance(days=1)
    shop.customers.checkout(amount=10_000, code=code)
    shop.customers.advance(days=45)
    await shop.catch_up()
    assert await shop.conversions() == [], "it is older than what Stripe lists"
    return span_of(await one_step(shop))


def span_of(step: str) -> tuple[str, str]:
    found = re.fullmatch(r"Stripe's events from (\S+Z) until (\S+Z) were never read: .* find_missed_sales .*", step)
    assert found is not None, step
    return found[1], found[2]


async def test_what_was_never_read_is_told_until_it_is_repaired(shop: Shop) -> None:
    await shop.sign()
    since, until = await be_away(shop, "SARAH20")
    away = datetime.fromisoformat(until) - datetime.fromisoformat(since)
    assert timedelta(days=16) <= away < timedelta(days=16, minutes=1)
    await shop.do("find_missed_sales", since=since, until=until)
    plan = await shop.do("repair_missed_sales", since=since, until=until)
    shop.restart()
    shop.customers.advance(days=3)
    await shop.catch_up()
    assert span_of(await one_step(shop)) == (since, until), "a plan and a start change nothing"
    await shop.do("repair_missed_sales", since=since, until=until, confirm=plan["confirm"])
    assert len(await shop.conversions()) == 1
    assert ((await health(shop))["healthy"], (await health(shop))["nextSteps"]) == (True, [])


async def test_what_was_never_read_may_be_compared_piece_by_piece_from_either_end(shop: Shop) -> None:
    since, until = await be_away(shop)
    early, late = [(datetime.fromisoformat(since) + timedelta(days=day)).isoformat() for day in (3, 10)]
    lines = len(audit_lines(shop.app))
    await shop.do("repair_missed_sales", since=early, until=late)
    assert span_of(await one_step(shop)) == (since, until), "its middle is no end of it"
    assert len(audit_lines(shop.app)) == lines
    await shop.do("repair_missed_sales", since=late, until=until)
    assert span_of(await one_step(shop)) == (since, late.replace("+00:00", "Z"))
    await shop.do("repair_missed_sales", since=since, until=early)
    assert span_of(await one_step(shop)) == (early.replace("+00:00", "Z"), late.replace("+00:00", "Z"))
    done = await shop.do("repair_missed_sales", since=early)
    assert done["summary"] == "There is nothing to repair."
    assert (await health(shop))["healthy"] is True
    assert [action for _, action, _ in audit_lines(shop.app)[lines:]] == ["tracking.compared"] * 3


async def test_a_comparison_that_left_something_out_ends_no_notice(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    sold = await shop.sell(10_000)
    shop.customers.advance(days=3)
    await shop.catch_up()
    shop.restart()
    shop.customers.advance(days=1)
    shop.customers.refund(payment_intent=sold["payment_intent"])
    shop.customers.advance(days=45)
    await shop.catch_up()
    since, until = span_of(await one_step(shop))
    with monkeypatch.context() as hasty:
        hasty.setattr(stripe_walk, "MOST_LOOKUPS", 0)
        done = await shop.do("repair_missed_sales", since=since, until=until)
    assert "could not be looked up" in done["notes"][0]
    assert span_of(await one_step(shop)) == (since, until)
    await shop.do("repair_missed_sales", since=since, until=until)
    assert (await health(shop))["healthy"] is True


async def test_failed_events_are_listed_and_tried_again(shop: Shop, state: State) -> None:
    await shop.sign()
    await shop.catch_up()
    sold = shop.customers.checkout(amount=10_000, code="SARAH20")
    [event] = events_of(state, "checkout.session.completed")
    await deliver(shop.app, event)
    with shop.app.open_store().writing() as session:
        row = session.get_one(InboxEventRow, ("self", event["id"]))
        row.state, row.note, row.attempts = "failed", "stripe_misconfigured", 12
    found = await health(shop)
    [failed] = found["failedEvents"]
    assert failed.items() >= {"eventId": event["id"], "error": "stripe_misconfigured", "attempts": 12}.items()
    assert (failed["type"], found["failedEventsTotal"]) == ("checkout.session.completed", 1)
    assert "replay_failed_events" in found["nextSteps"][0]
    lines = len(audit_lines(shop.app))
    done = await shop.do("replay_failed_events")
    assert (done["replayed"], done["eventIds"]) == (1, [event["id"]])
    assert [action for _, action, _ in audit_lines(shop.app)[lines:]] == ["events.replayed"]
    assert states(shop.app)[event["id"]] == "pending"
    await shop.app.inbox.work_off()
    conversion = await shop.conversion(sold)
    assert conversion is not None
    assert (await health(shop))["healthy"] is True
    again = await shop.do("replay_failed_events")
    assert (again["replayed"], again["summary"]) == (0, "No event has failed.")


async def test_only_the_newest_failed_events_are_listed(shop: Shop) -> None:
    await shop.catch_up()
    for number in range(25):
        give_up(shop, f"evt_{number:02}")
        shop.customers.advance(seconds=1)
    found = await health(shop)
    assert found["failedEventsTotal"] == 25
    assert [each["eventId"] for each in found["failedEvents"]] == [f"evt_{n:02}" for n in range(24, 4, -1)]


async def test_named_events_are_tried_again_all_or_none_and_only_ones_own(shop: Shop) -> None:
    give_up(shop, "evt_1", "evt_2")
    give_up(shop, "evt_foreign", account="acct_neighbour01")
    for ids in (["evt_1", "evt_foreign"], ["evt_1", "evt_unknown"]):
        with pytest.raises(Refusal) as refusal:
            await shop.do("replay_failed_events", eventIds=ids)
        assert (refusal.value.code, refusal.value.field) == ("not_found", "eventIds")
    assert (await shop.do("replay_failed_events", eventIds=["evt_1", "evt_1"]))["replayed"] == 1
    assert (await shop.do("replay_failed_events"))["eventIds"] == ["evt_2"]
    assert states(shop.app)["evt_foreign"] == "failed"


async def test_events_that_nobody_works_off_are_noticed(shop: Shop, state: State) -> None:
    await shop.catch_up()
    shop.customers.checkout(amount=10_000)
    await shop.app.poller.poll()
    waiting = (await health(shop))["waitingEvents"]
    assert waiting > 0
    assert (await health(shop))["healthy"] is True, "they have just arrived"
    shop.customers.advance(seconds=3600)
    await shop.app.poller.poll()
    assert "not worked off, the oldest for 60 minutes" in await one_step(shop)
    await shop.app.inbox.work_off()
    assert (await health(shop))["healthy"] is True


async def test_codes_that_are_on_in_one_place_only_are_listed(shop: Shop) -> None:
    deal = await shop.sign()
    tom = await shop.sign("TOM20", name="Tom Ray", program=deal.program, coupon={"name": "Toms"})
    client = await shop.app.stripe.client()
    await shop.catch_up()
    with shop.app.open_store().writing() as session:
        sarahs, toms = [session.get_one(AffiliateCodeRow, each.code) for each in (deal, tom)]
        promotion_code, other = str(sarahs.stripe_promotion_code_id), str(toms.stripe_promotion_code_id)
        toms.status = "Inactive"
    await client.v1.promotion_codes.update_async(promotion_code, {"active": False})
    found = await health(shop)
    assert sorted((c["code"], c["here"], c["inStripe"], c["promotionCodeId"]) for c in found["codeDifferences"]) == [
        ("SARAH20", "Active", "inactive", promotion_code),
        ("TOM20", "Inactive", "active", other),
    ]
    assert len(found["nextSteps"]) == 2
    assert any("deactivate_affiliate_code" in step for step in found["nextSteps"])


async def test_every_code_is_compared_a_part_of_them_in_each_call(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    deal = await shop.sign()
    codes = [deal.code]
    for number in range(6):
        minted = await shop.do(
            "mint_affiliate_code", affiliateId=deal.affiliate, couponId=deal.coupon, code=f"SARAH{number}"
        )
        codes.append(minted["id"])
    await shop.catch_up()
    with shop.app.open_store().writing() as session:
        for code in codes:
            session.get_one(AffiliateCodeRow, code).status = "Inactive"
    pages = list[str | None]()
    whole = StripeAccount.promotion_codes

    async def by_ones(stripe: StripeAccount, **wanted: Any) -> tuple[list[JsonObject], bool]:
        pages.append(wanted["after"])
        page, more = await whole(stripe, **wanted)
        return page[:1], more or len(page) > 1

    monkeypatch.setattr(StripeAccount, "promotion_codes", by_ones)
    monkeypatch.setattr(stripe_state, "MOST_PAGES", 3)
    seen, cursor, compared = list[str](), None, list[int]()
    while not compared or cursor is not None:
        found = await shop.do("tracking_health", **({"cursor": cursor} if cursor else {}))
        seen += [each["codeId"] for each in found["codeDifferences"]]
        cursor, compared = found["nextCursor"], [*compared, found["codesCompared"]]
        assert any("nextCursor" in step for step in found["nextSteps"]) is (cursor is not None)
    assert (sorted(seen), compared) == (sorted(codes), [3, 3, 1])
    assert len(pages) == len(set(pages)) == len(codes), "no code is read twice"


async def test_codes_that_differ_and_are_not_listed_are_counted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    deal = await shop.sign()
    minted = await shop.do("mint_affiliate_code", affiliateId=deal.affiliate, couponId=deal.coupon, code="SARAH2")
    await shop.catch_up()
    with shop.app.open_store().writing() as session:
        for code in (deal.code, minted["id"]):
            session.get_one(AffiliateCodeRow, code).status = "Inactive"
    monkeypatch.setattr(health_of, "MOST_CODES", 1)
    found = await health(shop)
    assert len(found["codeDifferences"]) == 1
    assert "2 of the codes compared differ; the first 1 are listed." in found["nextSteps"]


async def test_a_cursor_of_another_list_is_refused(shop: Shop) -> None:
    with pytest.raises(Refusal) as refusal:
        await shop.do("tracking_health", cursor="bm90IG1pbmU")
    assert (refusal.value.code, refusal.value.field) == ("validation_failed", "cursor")


async def test_a_code_that_is_used_up_or_expired_is_no_trouble(shop: Shop) -> None:
    deal = await shop.sign(mint={"maxRedemptions": 1})
    soon = (shop.app.clock() + timedelta(hours=1)).isoformat()
    await shop.sign("TOM20", name="Tom Ray", program=deal.program, coupon={"name": "Toms"}, mint={"expiresAt": soon})
    await shop.sell(10_000, code="SARAH20")
    shop.customers.advance(seconds=7200)
    await shop.catch_up()
    found = await health(shop)
    assert (found["codeDifferences"], found["nextSteps"]) == ([], [])


@pytest.mark.parametrize("crowded", [False, True], ids=["a short list", "a list too long to read"])
async def test_a_coupon_that_is_deleted_in_stripe_is_noticed(
    shop: Shop, crowded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    deal = await shop.sign()
    await shop.sign("TOM20", name="Tom Ray", program=deal.program, coupon={"name": "Toms"})
    await shop.catch_up()
    coupons = {c["id"]: c["stripeCouponId"] for c in (await shop.do("list_campaign_coupons"))["items"]}
    client = await shop.app.stripe.client()
    await client.v1.coupons.delete_async(coupons[deal.coupon])
    if crowded:

        async def nothing_yet(*_: Any) -> tuple[list[JsonObject], bool]:
            return [{"id": "another"}], True

        monkeypatch.setattr(stripe_state, "coupons", nothing_yet)
    found = await health(shop)
    assert [each["couponId"] for each in found["deletedCoupons"]] == [deal.coupon]
    assert "archive_campaign_coupon" in found["nextSteps"][0]


async def test_writes_to_stripe_that_fail_are_noticed(shop: Shop) -> None:
    await shop.catch_up()
    now = shop.app.clock()
    call: dict[str, Any] = {
        "organization_id": shop.id,
        "operation": "mint_affiliate_code",
        "ticket": {},
        "actor": {},
        "attempts": 1,
    }
    common: dict[str, Any] = {
        **call,
        "request_sha256": "0",
        "state": "pending",
        "next_attempt_at": now,
        "created_at": now,
    }
    with shop.app.open_store().writing() as session:
        session.add(OutboundCallRow(**common, subject_id="1"))
    found = await health(shop)
    assert (found["healthy"], found["pendingCalls"], found["failingCalls"]) == (True, 1, 0)
    assert "finish by themselves" in found["nextSteps"][0]
    with shop.app.open_store().writing() as session:
        session.add(OutboundCallRow(**common, subject_id="2", last_error="stripe_unavailable"))
    found = await health(shop)
    assert (found["healthy"], found["failingCalls"], found["lastCallError"]) == (False, 1, "stripe_unavailable")


async def test_a_stripe_that_does_not_answer_is_a_finding(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.catch_up()

    async def down(*_: Any, **__: Any) -> Any:
        raise StripeUnavailable("Stripe could not be reached, and nothing was changed. Try again in a minute.")

    monkeypatch.setattr(StripeAccount, "page", down)
    found = await health(shop)
    assert (found["healthy"], found["stripeReachable"]) == (False, False)
    assert found["nextSteps"][0].startswith("Stripe could not be asked. Stripe could not be reached")
    assert found["readSecondsAgo"] is not None, "what is known here is told all the same"


async def test_without_an_account_the_first_step_is_to_link_one(shop: Shop) -> None:
    await operate(shop.app, "update_organization", {"organization": "story", "stripeAccount": "none"})
    found = await health(shop)
    assert (found["healthy"], found["stripeReachable"]) == (False, None)
    [step] = found["nextSteps"]
    assert "link-stripe" in step
    assert "record_sale" in step, "the other way to tell sales is named too"


async def test_without_an_account_a_shop_whose_server_tells_its_sales_is_healthy(shop: Shop, world: World) -> None:
    await operate(shop.app, "update_organization", {"organization": "story", "stripeAccount": "none"})
    told = {"externalEventId": "order-1", "amountCents": 10_000, "currency": "USD", "customerId": "kim"}
    await operate(shop.app, "record_sale", told, System(world.acme.id))
    assert (await health(shop))["healthy"] is False, "another's sale is not ours"
    await shop.do("record_sale", **told)
    found = await health(shop)
    assert (found["healthy"], found["stripeReachable"]) == (True, None)
    [hint] = found["nextSteps"]
    assert "only sales told by your server arrive" in hint


async def test_the_events_of_another_account_are_not_counted(shop: Shop, world: World) -> None:
    await shop.catch_up()
    give_up(shop, "evt_foreign", account=world.neighbour.account)
    found = await health(shop)
    assert (found["healthy"], found["failedEventsTotal"]) == (True, 0)


@pytest.fixture
async def with_endpoint(settings: Settings, world: World) -> AsyncGenerator[Shop]:
    """A shop whose server has the secret of a webhook endpoint."""
    secret = SecretStr("whsec_of_the_shop")
    app = App(settings.model_copy(update={"stripe_webhook_secret": secret, "poll_seconds": 30.0}))
    state = State(app.settings.sandbox_path)
    async with app.running():
        yield await open_shop(app, world, Simulation(state))
    state.close()


async def test_an_endpoint_that_stays_silent_is_noticed(with_endpoint: Shop) -> None:
    shop = with_endpoint
    await shop.catch_up()
    found = await health(shop)
    assert (found["healthy"], found["webhookSecretSet"], found["pollSeconds"]) == (True, True, 30.0)
    await shop.sell(10_000)
    assert "arrive by polling only" in await one_step(shop)
    assert "whsec" not in str(await health(shop))
