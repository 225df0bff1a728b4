"""The server was away, or did not know whose a code was: what it missed is found, repaired once, and not again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlmodel import col, select

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.storage.tables import SalePaymentRow
from rekomi_mcp.tools.reconciling import stripe_walk
from tests.support.acts import at_once
from tests.support.contents import audit_lines
from tests.support.reconciling import books, come_back, find, go_away, kinds, long_ago, repair
from tests.support.shop import JsonObject, Shop
from tests.support.stripe_events import deliver, events_of
from tests.support.world import operate, sale, sell

pytestmark = pytest.mark.anyio


async def hear_everything(shop: Shop, state: State) -> None:
    """Every event that Stripe ever told, as a server hears them that was there all the time."""
    await deliver(shop.app, *events_of(state))
    await shop.app.inbox.work_off()


async def test_what_happened_while_the_server_was_away_is_found_and_repaired_to_the_same_books(
    shop: Shop, state: State
) -> None:
    await shop.sign()
    seen = await shop.sell(10_000, code="SARAH20", interval="month", email="kim@example.com")
    also_seen = await shop.sell(5_000, code="SARAH20", email="lee@example.com")
    go_away(shop)
    once = shop.customers.checkout(amount=20_000, code="SARAH20", email="max@example.com")
    monthly = shop.customers.checkout(amount=3_000, code="SARAH20", interval="month", email="ida@example.com")
    shop.customers.checkout(amount=700, email="nobody@example.com")
    shop.customers.renew(monthly["subscription"])  # and the other one, which is due before it
    part = shop.customers.refund(payment_intent=once["payment_intent"], amount=8_000)
    back = shop.customers.refund(payment_intent=also_seen["payment_intent"])
    dispute = shop.customers.dispute(payment_intent=seen["payment_intent"])
    await come_back(shop)
    since = long_ago(shop)
    found = await find(shop, since=since)
    assert {kind: number for kind, number in found["counts"].items() if number} == {"missing": 4, "wrongAmount": 2}
    assert (found["unrelatedSales"], found["hasMore"], found["total"], found["notes"]) == (1, False, 6, [])
    listed = {item["stripeId"]: item for item in found["items"]}
    missed = listed[once["session"]]
    assert (missed["kind"], missed["affiliateName"], missed["amount"]) == ("missing", "Sarah Lee", "USD 160.00")
    assert missed["commission"] == "USD 16.00", "half of it went back"
    assert "repair_missed_sales" in missed["advice"]
    assert part["id"] not in listed, "the refund of a missing sale is a part of it"
    assert (listed[back["id"]]["commission"], listed[back["id"]]["saleId"]) == ("USD -8.00", also_seen["session"])
    assert (listed[dispute["id"]]["commission"], listed[dispute["id"]]["amount"]) == ("USD 0.00", "USD 80.00")
    before = books(shop)
    plan = await shop.do("repair_missed_sales", since=since)
    assert (plan["repaired"], plan["counts"]["missing"], plan["counts"]["wrongAmount"]) == (False, 4, 2)
    assert books(shop) == before, "a plan changes nothing"
    done = await repair(shop, since=since)
    [effect] = done["effects"]
    assert (effect["affiliateName"], effect["commission"]) == ("Sarah Lee", "USD 38.80")
    repaired = books(shop)
    assert await kinds(shop, since=since) == {}
    assert (await shop.do("repair_missed_sales", since=since))["summary"] == "There is nothing to repair."
    await hear_everything(shop, state)
    assert books(shop) == repaired
    held = await shop.conversion(seen)
    assert held is not None
    assert (held["disputed"], held["remainingCommissionCents"]) == (True, 1_600)


async def test_a_server_that_was_there_finds_nothing(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(10_000, code="SARAH20", interval="month")
    await shop.renew(sold)
    await shop.refund(sold)
    await shop.sell(10_000)
    found = await find(shop, since=long_ago(shop))
    assert (found["items"], found["unrelatedSales"], found["notes"]) == ([], 0, [])
    lines = len(audit_lines(shop.app))
    nothing = await shop.do("repair_missed_sales")
    assert (nothing["repaired"], nothing["confirm"], nothing["effects"]) == (False, None, [])
    assert len(audit_lines(shop.app)) == lines


async def own_code(shop: Shop) -> str:
    """A promotion code that the merchant made in Stripe."""
    client = await shop.app.stripe.client()
    await client.v1.coupons.create_async({"id": "BLOG", "percent_off": 10, "duration": "once"})
    made = await client.v1.promotion_codes.create_async(
        {"promotion": {"type": "coupon", "coupon": "BLOG"}, "code": "BLOG10"}
    )
    return made.id


async def hire(shop: Shop) -> str:
    program = await shop.open_program()
    person = {"programId": program, "email": "sarah@example.com", "fullName": "Sarah Lee"}
    return (await shop.do("create_affiliate", **person))["id"]


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "never heard of"])
async def test_an_orphan_code_that_is_adopted_credits_its_past_sales_and_their_renewals(
    shop: Shop, state: State, recorded: bool
) -> None:
    sarah, code = await hire(shop), await own_code(shop)
    await shop.catch_up()
    sold = shop.customers.checkout(amount=10_000, code="BLOG10", interval="month", email="kim@example.com")
    shop.customers.renew(sold["subscription"])
    shop.customers.checkout(amount=5_000, code="BLOG10", email="max@example.com")
    if recorded:
        await hear_everything(shop, state)
    else:
        await come_back(shop)
    since = long_ago(shop)
    [orphan] = (await find(shop, since=since))["items"]
    assert (orphan["kind"], orphan["stripeId"], orphan["code"], orphan["times"]) == ("orphan_code", code, "BLOG10", 2)
    assert orphan["amount"] == "USD 135.00"
    assert "adopt_promotion_code" in orphan["advice"]
    assert (await shop.do("repair_missed_sales", since=since))["summary"] == "There is nothing to repair."
    await shop.do("adopt_promotion_code", affiliateId=sarah, promotionCodeId=code)
    wanted = "notCredited" if recorded else "missing"
    found = await kinds(shop, since=since)
    assert found == {wanted: 3}
    done = await repair(shop, since=since)
    assert {finding["kind"] for finding in done["findings"]} == {"not_credited" if recorded else "missing"}
    conversions = await shop.conversions()
    assert len(conversions) == found[wanted]
    assert {c["affiliateId"] for c in conversions} == {sarah}
    assert conversions[0]["couponCode"] == "BLOG10"
    assert "Customer match" in {c["source"] for c in conversions}
    assert await kinds(shop, since=since) == {}


async def test_a_token_of_another_plan_is_refused_with_the_new_plan(shop: Shop) -> None:
    await shop.sign()
    go_away(shop)
    shop.customers.checkout(amount=10_000, code="SARAH20", email="kim@example.com")
    await come_back(shop)
    first = await shop.do("repair_missed_sales")
    shop.customers.checkout(amount=5_000, code="SARAH20", email="max@example.com")
    for token in (first["confirm"], "repair_of_my_own"):
        with pytest.raises(Refusal) as refusal:
            await shop.do("repair_missed_sales", confirm=token)
        assert (refusal.value.code, refusal.value.field) == ("conflict", "confirm")
        plan: Any = refusal.value.details["plan"]
        assert plan["counts"]["missing"] == 2
        assert await shop.conversions() == []
    done = await shop.do("repair_missed_sales", confirm=plan["confirm"])
    assert (done["repaired"], len(await shop.conversions())) == (True, 2)
    again = await shop.do("repair_missed_sales", confirm=plan["confirm"])
    assert (again["repaired"], again["summary"]) == (False, "There is nothing to repair.")


async def test_a_repair_is_in_the_audit_log_with_what_it_did(shop: Shop) -> None:
    await shop.sign()
    go_away(shop)
    shop.customers.checkout(amount=10_000, code="SARAH20", email="kim@example.com")
    await come_back(shop)
    before = len(audit_lines(shop.app))
    await repair(shop)
    added = audit_lines(shop.app)[before:]
    assert [action for _, action, _ in added] == ["conversion.created", "tracking.repaired"]
    [line] = (await shop.do("list_audit_log", action="tracking.repaired"))["items"]
    assert line["after"]["missing"] == 1
    assert line["after"]["effects"][0].endswith("USD 16.00")


async def test_two_repairs_at_once_credit_once(shop: Shop) -> None:
    await shop.sign()
    go_away(shop)
    for number in range(3):
        shop.customers.checkout(amount=10_000, code="SARAH20", email=f"kim{number}@example.com")
    await come_back(shop)
    token = (await shop.do("repair_missed_sales"))["confirm"]

    async def confirm(_: Any) -> bool:
        return (await shop.do("repair_missed_sales", confirm=token))["repaired"]

    assert sorted(await at_once(shop.app, [confirm] * 4)) == [False, False, False, True]
    assert [c["remainingCommissionCents"] for c in await shop.conversions()] == [1_600] * 3
    assert len(books(shop)["entries"]) == 3


async def test_the_account_of_another_organization_is_never_seen(shop: Shop, state: State) -> None:
    deal = await shop.sign()
    go_away(shop)
    client = await shop.app.stripe.client()
    account = (await client.v1.accounts.create_async({"country": "US"})).id
    Simulation(state, account).checkout(amount=10_000, email="kim@example.com")
    shop.customers.checkout(amount=10_000, code="SARAH20", email="kim@example.com")
    await come_back(shop)
    other = (await operate(shop.app, "create_organization", {"name": "Other"}))["slug"]
    await operate(shop.app, "update_organization", {"organization": other, "stripeAccount": account})
    mine = await find(shop)
    assert (mine["counts"]["missing"], mine["unrelatedSales"]) == (1, 0)
    assert mine["items"][0]["affiliateId"] == deal.affiliate


async def test_a_sale_of_ours_that_stripe_does_not_have_is_found(shop: Shop) -> None:
    await shop.sign()
    sold = await shop.sell(10_000, code="SARAH20")
    with shop.app.open_store().reading() as session:
        [row] = storage.sales.by_keys(session, shop.id, [("checkout_session", sold["session"])]).values()
        [code] = row.decision["promotionCodeIds"]
    await sell(shop.app, shop.id, sale("in_of_nowhere", codes=(code,), at=shop.app.clock()))
    found = await find(shop)
    [item] = found["items"]
    assert (item["kind"], item["stripeId"], item["affiliateName"]) == ("not_in_stripe", "in_of_nowhere", "Sarah Lee")
    assert (item["repairable"], item["commission"]) == (False, None)
    assert (await shop.do("repair_missed_sales"))["repaired"] is False


def read_little_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stripe_walk.made_between

    async def by_twos(*asked: Any) -> tuple[list[JsonObject], bool]:
        page, more = await whole(*asked)
        return page[:2], more or len(page) > 2

    monkeypatch.setattr(stripe_walk, "made_between", by_twos)
    monkeypatch.setattr(stripe_walk, "MOST_OBJECTS", 8)


async def test_too_much_for_one_call_is_read_piece_by_piece(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.sign()
    go_away(shop)
    for number in range(6):
        shop.customers.checkout(amount=10_000, code="SARAH20", email=f"k{number}@example.com")
        shop.customers.advance(days=1)
    await come_back(shop)
    read_little_at_once(monkeypatch)
    seen, cursor, pages = list[str](), None, 0
    while pages == 0 or cursor is not None:
        page = await find(shop, **({"cursor": cursor} if cursor else {}), take=2)
        seen += [item["stripeId"] for item in page["items"]]
        cursor, pages = page["nextCursor"], pages + 1
        assert page["hasMore"] is (cursor is not None)
    assert (len(seen), len(set(seen))) == (6, 6)
    assert pages > 2
    first = await shop.do("repair_missed_sales")
    assert 0 < first["counts"]["missing"] < 6
    assert "checkedSince" in first["notes"][0]
    until = None
    for _ in range(9):
        window = {"until": until} if until else {}
        plan = await shop.do("repair_missed_sales", **window)
        if plan["confirm"]:
            await shop.do("repair_missed_sales", **window, confirm=plan["confirm"])
        until = plan["checkedSince"]
        if not plan["notes"]:
            break
    assert len(await shop.conversions()) == 6


async def repair_piece_by_piece(shop: Shop, since: datetime) -> list[JsonObject]:
    """From the newest piece to the oldest; the plan of each."""
    plans = list[JsonObject]()
    window = {"since": since.isoformat()}
    while not plans or datetime.fromisoformat(plans[-1]["checkedSince"]) > since:
        plans.append(await shop.do("repair_missed_sales", **window))
        if plans[-1]["confirm"]:
            await shop.do("repair_missed_sales", **window, confirm=plans[-1]["confirm"])
        window["until"] = plans[-1]["checkedSince"]
    return plans


async def test_renewals_in_newer_pieces_are_found_by_beginning_again_as_the_notes_say(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.sign()
    since = shop.app.clock().replace(microsecond=0)
    go_away(shop)
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", email="kim@example.com", interval="month")
    for _ in range(2):
        shop.customers.renew(sold["subscription"])
    for number in range(5):
        shop.customers.checkout(amount=10_000, email=f"k{number}@example.com")
        shop.customers.advance(days=1)
    await come_back(shop)
    read_little_at_once(monkeypatch)
    newest, *_, oldest = await repair_piece_by_piece(shop, since)
    assert (newest["summary"], newest["confirm"]) == ("There is nothing to repair in what was read.", None)
    assert "begin again from the newest, until nothing is found" in newest["notes"][0]
    assert oldest["confirm"] is not None
    assert "repair the time after it again" in " ".join(oldest["notes"])
    assert len(await shop.conversions()) < 3, "a renewal is nobody's before its first sale is recorded"
    await repair_piece_by_piece(shop, since)
    assert len(await shop.conversions()) == 3
    assert {plan["confirm"] for plan in await repair_piece_by_piece(shop, since)} == {None}


async def test_a_refund_after_the_span_is_taken_into_account(shop: Shop) -> None:
    await shop.sign()
    go_away(shop)
    sold = shop.customers.checkout(amount=10_000, code="SARAH20", email="kim@example.com")
    shop.customers.advance(days=2)
    until = shop.app.clock().isoformat()
    shop.customers.advance(days=2)
    shop.customers.refund(payment_intent=sold["payment_intent"])
    await come_back(shop)
    await repair(shop, until=until)
    [conversion] = await shop.conversions()
    assert (conversion["status"], conversion["remainingCommissionCents"]) == ("Refunded", 0)
    assert await kinds(shop) == {}


async def test_a_refund_of_a_sale_before_the_span_finds_its_sale(shop: Shop) -> None:
    """The books know the sale and not what paid it: a webhook of an invoice does not say."""
    await shop.sign()
    sold = await shop.sell(10_000, code="SARAH20", interval="month")
    with shop.app.open_store().writing() as session:
        for row in session.exec(select(SalePaymentRow).where(col(SalePaymentRow.organization_id) == shop.id)):
            session.delete(row)
    go_away(shop)
    since = shop.app.clock().isoformat()
    refund = shop.customers.refund(payment_intent=sold["payment_intent"])
    await come_back(shop)
    [item] = (await find(shop, since=since))["items"]
    assert (item["stripeId"], item["saleId"], item["commission"]) == (refund["id"], sold["invoice"], "USD -16.00")
    await repair(shop, since=since)
    conversion = await shop.conversion(sold)
    assert conversion is not None
    assert conversion["remainingCommissionCents"] == 0


async def test_a_trial_that_began_meanwhile_still_belongs_to_whose_code_it_was(shop: Shop) -> None:
    deal = await shop.sign()
    go_away(shop)
    begun = shop.customers.checkout(
        amount=10_000, code="SARAH20", interval="month", trial_days=14, email="kim@example.com"
    )
    shop.customers.checkout(amount=10_000, code="SARAH20", email="max@example.com")
    await come_back(shop)
    await repair(shop)
    shop.customers.advance(days=14)
    await shop.catch_up()
    mine = [c for c in await shop.conversions() if c["stripeSubscriptionId"] == begun["subscription"]]
    assert [c["affiliateId"] for c in mine] == [deal.affiliate]


@pytest.mark.parametrize(
    ("window", "field"),
    [
        ({"since": "2026-01-01", "until": "2026-04-10"}, "since"),
        ({"since": "2026-02-01", "until": "2026-01-01"}, "since"),
        ({"since": "2090-02-01"}, "since"),
    ],
)
async def test_a_span_that_makes_no_sense_is_refused(shop: Shop, window: dict[str, str], field: str) -> None:
    for operation in ("find_missed_sales", "repair_missed_sales"):
        with pytest.raises(Refusal) as refusal:
            await shop.do(operation, **window)
        assert (refusal.value.code, refusal.value.field) == ("validation_failed", field)
