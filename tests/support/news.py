"""A shop full of news that nobody has worked off: disputes, a credit note, codes switched, a coupon deleted, a late sale."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlmodel import select

from rekomi_mcp.storage.tables import AffiliateLinkRow, ClickRow, InboxEventRow
from tests.cases.building.blanks import blank
from tests.cases.building.world import API_VERSION
from tests.support.acts import Wanted, deliver, poll, requests, work_off
from tests.support.stage import Stage

JsonObject = dict[str, Any]
CLICK = "0000c11c-0000-7000-8000-000000000001"


def news_arrives(stage: Stage) -> None:
    """First what is worked off, then what waits."""
    happen = stage.stripe.happen
    _make(stage, "mint_affiliate_code", affiliateId=stage.cast.tom, code="TOM20")
    ending = _make(stage, "create_campaign_coupon", name="Ending", discountValue=10)
    _make(stage, "mint_affiliate_code", affiliateId=stage.cast.tom, couponId=ending, code="TOMENDS")

    def buys(code: str | None, email: str, **more: Any) -> JsonObject:
        happen("clock", advance_seconds=60)
        return happen("checkout", **{"amount": 10_000, "email": email} | ({"code": code} if code else {}) | more)

    kim = stage.stripe.create("customers", email="kim@example.com")["id"]
    late = [buys("SARAH20", "kim@example.com", customer=kim)]
    buys("TOM20", "kim@example.com", customer=kim)
    buys(None, "kim@example.com", customer=kim)  # Tom's, until Kim's first purchase is heard of.
    late.append(buys("SARAH20", "lou@example.com", interval="month"))
    disputed = [buys("SARAH20", f"disputed-{n}@example.com") for n in range(3)]
    credited = buys("TOM20", "max@example.com", interval="month")
    happen("renew", subscription=late[1]["subscription"])  # Nobody's, until its beginning is heard of.
    stage.act(poll)
    withhold(stage, {sold["session"] for sold in late} | {late[1]["subscription"], late[1]["invoice"]})
    stage.act(work_off)

    disputes = [happen("dispute", payment_intent=sold["payment_intent"]) for sold in disputed]
    for dispute, won in zip(disputes[1:], (True, False), strict=True):
        happen("clock", advance_seconds=60)
        happen(f"disputes/{dispute['id']}/close", won=won)
    _visit(stage)
    buys(None, "ned@example.com", client_reference_id=CLICK)
    codes = {each["code"]: each["id"] for each in stage.stripe.promotion_codes()}
    for text, active in (("SARAH20", False), ("TOM20", False), ("SARAH20", True)):
        happen("clock", advance_seconds=60)
        stage.stripe.create(f"promotion_codes/{codes[text]}", active=active)
    [coupon] = [each["id"] for each in stage.stripe.coupons() if each["name"] == "Ending"]
    stage.stripe.delete(f"coupons/{coupon}")
    stage.act(poll)  # Brings what was withheld, too.
    assert all(stage.act(partial(deliver, [_credit_note(credited["invoice"])])))


def waiting(stage: Stage) -> list[JsonObject]:
    """Every event that waits, as Stripe delivers it."""
    return [_body(row) for row in stage.rows(InboxEventRow) if row.state == "pending"]


def withhold(stage: Stage, about: set[str]) -> None:
    """Take the events about these objects out of the inbox again."""
    with stage.writing() as session:
        for row in session.exec(select(InboxEventRow)):
            if _body(row)["data"]["object"]["id"] in about:
                session.delete(row)


def _body(row: InboxEventRow) -> JsonObject:
    return json.loads(row.payload)


def _make(stage: Stage, operation: str, **arguments: Any) -> str:
    [reply] = stage.act(requests(Wanted(stage.cast.organization, operation, arguments)))
    assert reply.body is not None, reply.code
    return reply.body["id"]


def _visit(stage: Stage) -> None:
    """Somebody comes by Tom's link."""
    with stage.writing() as session:
        wanted = select(AffiliateLinkRow).where(AffiliateLinkRow.affiliate_id == stage.cast.tom)
        link = session.exec(wanted).first()
        assert link is not None
        session.add(
            ClickRow(
                id=CLICK,
                organization_id=stage.cast.organization,
                program_id=stage.cast.program,
                affiliate_id=stage.cast.tom,
                link_id=link.id,
                visitor_id="ned",
                device="Desktop",
                occurred_at=datetime.now(UTC),
            )
        )


def _credit_note(invoice: str) -> JsonObject:
    """A quarter of an invoice is credited to the customer's balance. The sandbox knows no credit notes."""
    now = int(datetime.now(UTC).timestamp())
    note = blank(
        "credit_note", id="cn_1", amount=2000, created=now, currency="usd", invoice=invoice, post_payment_amount=2000
    )
    about: JsonObject = {"object": note}
    return blank("event", id="evt_cn_1", api_version=API_VERSION, created=now, data=about, type="credit_note.created")
