"""The owner's story: from an empty folder to a payout preview, every figure checked."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rekomi_mcp.demo.report import Report
from rekomi_mcp.demo.stage import Assistant, JsonObject, Stage, StoryError

MONTHLY_CENTS, ONE_OFF_CENTS = 4900, 12000


@dataclass(slots=True)
class Cast:
    """Who and what has entered the story so far, by id."""

    program: str = ""
    sarah: str = ""
    ben: str = ""
    coupon: str = ""
    kims_subscription: str = ""
    lous_session: str = ""


async def play() -> int:
    """Play the story in a folder of its own; answers the exit status."""
    started, report = time.monotonic(), Report()
    with tempfile.TemporaryDirectory(prefix="rekomi-demo-") as folder:
        stage = Stage(Path(folder))
        stage.environment["REKOMI_TOOLSETS"] = "all"  # also those that the story calls and daily use does not
        print("rekomi-mcp demo: SANDBOX, no real money. An owner talks to an assistant; the assistant calls tools.")
        try:
            await _play(stage, report)
        except* StoryError as errors:  # a task group of the MCP client wraps what breaks inside it
            report.broke_off(errors)
    return report.finish(time.monotonic() - started)


async def _play(stage: Stage, report: Report) -> None:
    cast = Cast()
    stage.command("init", "--name", "Acme", "--timezone", "America/Los_Angeles")
    with stage.http_server():
        async with stage.assistant() as assistant:
            await _program(assistant, report, cast)
            await _codes(assistant, report, cast)
            await _first_sales(stage, assistant, report, cast)
            await _renewal(stage, assistant, report, cast)
            await _lead(stage, assistant, report, cast)
            await _refund(stage, assistant, report, cast)
            await _starter(stage, report)
            await _payout(assistant, report, cast)
            await _why(assistant, report, cast)
            await _audit(stage, assistant, report)


async def _program(assistant: Assistant, report: Report, cast: Cast) -> None:
    report.scene("The organization and its program")
    me = await assistant.call("whoami")
    report.say(f"This is {me['organizationName']}, on the {me['planTier']} plan, in {me['stripeMode']} mode.")
    report.check("organization", me["organizationName"], "Acme")
    report.asked("create_program", "Start a program that pays creators 20 % of every payment.")
    program = await assistant.call(
        "create_program", name="Creators", defaultCommissionType="Percentage", defaultCommissionValue=20
    )
    cast.program = program["id"]
    report.say(f"{program['name']} pays {program['commission']}.")


async def _codes(assistant: Assistant, report: Report, cast: Cast) -> None:
    report.scene("Sarah gets her code")
    report.asked("list_affiliates, create_affiliate", "Is Sarah Lee with us? If not, add her. Ben Okafor too.")
    known = await assistant.call("list_affiliates", q="sarah")
    report.check("affiliates called Sarah before", len(known["items"]), 0)
    sarah = await assistant.call("create_affiliate", email="sarah@example.com", fullName="Sarah Lee")
    ben = await assistant.call("create_affiliate", email="ben@example.com", fullName="Ben Okafor")
    cast.sarah, cast.ben = sarah["id"], ben["id"]
    report.asked("create_campaign_coupon", "Make a discount: 20 % off the first payment.")
    coupon = await assistant.call("create_campaign_coupon", name="Creator discount", discountValue=20, duration="Once")
    cast.coupon = coupon["id"]
    report.say(f"{coupon['name']}: {coupon['discount']}. In Stripe as {coupon['stripeCouponId']}.")
    report.asked("mint_affiliate_code", "Give Sarah a code for it.")
    code = await assistant.call("mint_affiliate_code", affiliateId=cast.sarah, couponId=cast.coupon)
    report.say(f"{code['affiliateName']} has {code['code']}, {code['discount']}; {code['stripeMode']}.")
    report.check("Sarah's code", code["code"], "SARAH20")


async def _first_sales(stage: Stage, assistant: Assistant, report: Report, cast: Cast) -> None:
    report.scene("Two customers type SARAH20")
    kim = stage.customers.checkout(
        amount=MONTHLY_CENTS, code="SARAH20", email="kim@example.com", interval="month", tax_percent=10
    )
    report.say("Kim subscribes: USD 49.00 a month, 20 % off once, 10 % tax on top.")
    report.check("Kim pays, in cents", kim["amount_total"], 4312)
    lou = stage.customers.checkout(amount=ONE_OFF_CENTS, code="SARAH20", email="lou@example.com")
    report.say("Lou buys once: USD 120.00, 20 % off.")
    report.check("Lou pays, in cents", lou["amount_total"], 9600)
    cast.kims_subscription, cast.lous_session = kim["subscription"], lou["session"]
    report.asked("list_conversions", "What did Sarah earn?")
    sales = await assistant.wait_for("list_conversions", _has(2), affiliateId=cast.sarah)
    for sale in sales["items"]:
        report.say(_sale_in_words(sale))
    tags = sorted({f"{sale['attributionMethod']} {sale['couponCode']}" for sale in sales["items"]})
    report.check("both are tagged", ", ".join(tags), "coupon SARAH20")
    report.check("commissions", " and ".join(sorted(s["commission"] for s in sales["items"])), "USD 19.20 and USD 7.84")


async def _renewal(stage: Stage, assistant: Assistant, report: Report, cast: Cast) -> None:
    report.scene("A month and three days pass: Kim's subscription renews, without a code")
    stage.customers.renew(cast.kims_subscription)
    stage.customers.advance(days=3)  # a month may be shorter than the hold of 30 days
    sales = await assistant.wait_for("list_conversions", _has(3), affiliateId=cast.sarah)
    renewal = sales["items"][0]
    report.say(_sale_in_words(renewal))
    report.check("the code on it", renewal.get("couponCode", "none"), "none")
    report.check("it is still", f"{renewal['affiliateName']}'s, {renewal['commission']}", "Sarah Lee's, USD 9.80")


async def _lead(stage: Stage, assistant: Assistant, report: Report, cast: Cast) -> None:
    report.scene("Ben brings a signup before any money")
    report.asked("record_lead", "Mia signed up through Ben.")
    lead = await assistant.call("record_lead", email="mia@example.com", affiliateId=cast.ben)
    report.say(f"Lead of {lead['affiliateName']} kept. It earns nothing by itself.")
    stage.customers.checkout(amount=5000, email="mia@example.com")
    sales = await assistant.wait_for("list_conversions", _has(1), affiliateId=cast.ben)
    report.say(_sale_in_words(sales["items"][0]))
    report.check("Mia's purchase without a code is Ben's", sales["items"][0]["commission"], "USD 10.00")


async def _refund(stage: Stage, assistant: Assistant, report: Report, cast: Cast) -> None:
    report.scene("Lou gets a quarter of the money back")
    stage.customers.refund(session=cast.lous_session, amount=2400)

    def refunded(answer: JsonObject) -> bool:
        return any(s["remainingCommissionCents"] < s["commissionCents"] for s in answer["items"])

    sales = await assistant.wait_for("list_conversions", refunded, affiliateId=cast.sarah, detail="detailed")
    sale = next(s for s in sales["items"] if s["remainingCommissionCents"] < s["commissionCents"])
    detail = await assistant.call("get_conversion", conversionId=sale["id"])
    for event in detail["events"]:
        report.say(f"{event['eventType']}: {event['commissionCents'] / 100:+.2f} of commission")
    report.check("a quarter of the commission went back", sale["commission"], "USD 14.40")


async def _starter(stage: Stage, report: Report) -> None:
    report.scene("Another organization on the Starter plan asks for codes, over HTTP with a token")
    stage.command("org", "create", "Beta", "--plan", "Starter")
    token = stage.command("token", "create", "mcp", "--organization", "beta").splitlines()[0]
    async with stage.remote_assistant(token) as assistant:
        refusal = await assistant.refusal("create_campaign_coupon", name="Nope", discountValue=20)
        seen = await assistant.call("list_conversions")
    report.say(refusal["message"])
    report.check("refused with", refusal["error"], "plan_tier_required")
    report.check("Acme's sales that Beta can see", len(seen["items"]), 0)


async def _payout(assistant: Assistant, report: Report, cast: Cast) -> None:
    report.scene("Who would be paid now?")
    report.asked("run_payout_preview", "Who do we owe, and who has to wait?")
    preview = await assistant.call("run_payout_preview")
    for candidate in preview["candidates"]:
        report.say(_candidate_in_words(candidate))
    by_id = {candidate["affiliateId"]: candidate for candidate in preview["candidates"]}
    report.check("to be paid in all", ", ".join(total["total"] for total in preview["totals"]), "USD 22.24")
    report.check("Sarah would be paid, in cents", by_id[cast.sarah]["amountCents"], 784 + 1440)
    report.check("Sarah waits for the renewal, in cents", by_id[cast.sarah]["heldCents"], 980)
    report.check("Ben waits because", by_id[cast.ben].get("ineligibilityReason"), "on_hold")


async def _why(assistant: Assistant, report: Report, cast: Cast) -> None:
    report.scene("Why was the renewal Sarah's?")
    report.asked("explain_attribution", "Kim used no code this time. Why does Sarah earn?")
    sales = await assistant.call("list_conversions", affiliateId=cast.sarah, take=1)
    answer = await assistant.call("explain_attribution", conversionId=sales["items"][0]["id"])
    report.say(answer["explanation"])
    report.check("it won by", next(c["evidence"] for c in answer["candidates"] if c["won"]), "subscription")


async def _audit(stage: Stage, assistant: Assistant, report: Report) -> None:
    report.scene("What happened here, according to the audit log")
    lines = (await assistant.call("list_audit_log", take=200))["items"]
    for line in reversed(lines):
        print(f"     {line['seq']:>3}  {line['actorType']:7} {line['action']:26} {line['outcome']}")
    asked = [line["action"] for line in reversed(lines) if line["actorType"] == "mcp"]
    report.check(
        "steps by actor mcp",
        ", ".join(asked),
        "program.created, affiliate.created, affiliate.created, campaign_coupon.created, affiliate_code.minted, "
        "lead.recorded",
    )
    arrived = [line["action"] for line in lines if line["actorType"] == "system"]
    report.check("sales by actor system", arrived.count("conversion.created"), 4)
    report.check("refunds by actor system", arrived.count("conversion.reversed"), 1)
    verdict = stage.command("org", "verify-audit", "acme").strip()
    report.check("its hash chain", verdict, f"acme: {len(lines)} lines, every hash holds")


def _has(count: int) -> Callable[[JsonObject], bool]:
    return lambda answer: len(answer["items"]) >= count


def _sale_in_words(sale: dict[str, Any]) -> str:
    by = f"code {sale['couponCode']}" if sale.get("couponCode") else "no code"
    day = sale["createdAt"][:10]
    return f"{day}: {sale['amount']} net ({by}) earns {sale['affiliateName']} {sale['commission']}, {sale['status']}."


def _candidate_in_words(candidate: dict[str, Any]) -> str:
    name, amount, held_until = candidate["affiliateName"], candidate["amount"], candidate.get("heldUntil", "")[:10]
    if not candidate["isEligible"]:
        return f"{name} waits for {amount} until {held_until}: {candidate['explanation']}."
    waiting = f"; USD {candidate['heldCents'] / 100:.2f} waits until {held_until}" if candidate["heldCents"] else ""
    return f"{name} would be paid {amount}{waiting}."
