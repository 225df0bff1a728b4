"""Play a case on a server: seed it, deliver its webhooks in an order, and read what came of it by its own operations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import rekomi_mcp.storage as storage
from rekomi_mcp.storage.tables import ClickRow
from tests.cases.api import CaseApi
from tests.cases.case import Case, SeedCode
from tests.cases.server import PAUSE, CaseServer

JsonObject = dict[str, Any]
LONG_AFTER = timedelta(days=400)
"""Every hold that ends by itself has ended by then."""


@dataclass(frozen=True)
class Outcome:
    """What a server made of a case, in the case's own names."""

    conversions: list[tuple[str, str, str, int, int]]
    """Source id, affiliate, currency, net and commission of each, sorted."""
    final: dict[tuple[str, str], int]
    """What is left, by affiliate and currency."""
    codes: dict[str, bool]
    """Whether a promotion code is active."""
    balances: dict[tuple[str, str], int]
    """The same as `final`, as the ledger has it: what a payout would be made of."""


@dataclass
class Play:
    """One case on one server."""

    server: CaseServer
    case: Case
    affiliates: dict[str, str] = field(default_factory=dict[str, str])
    """Our id by the case's."""

    async def seed(self) -> None:
        """What there is before the first delivery."""
        seeds, rekomi = self.case.seeds, self.case.seeds.rekomi
        self.api = self.server.stripe.api = CaseApi(self.case)
        self.api.before()
        self.server.now = at(self.case.deliveries[0].event["created"]) - timedelta(days=60)
        program = await self.server.do("create_program", **self._terms())
        slugs = {link["affiliate"]: link["slug"] for link in rekomi.get("links", ())}
        for each in seeds.affiliates:
            wanted = {
                "programId": program["id"],
                "email": each.email or f"{each.id}@example.org",
                "fullName": each.name,
            }
            if each.id in slugs:
                wanted["customAlias"] = slugs[each.id]
            self.affiliates[each.id] = (await self.server.do("create_affiliate", **wanted))["id"]
        for lead in rekomi.get("leads", ()):
            self.server.now = at(lead["at"])
            await self.server.do("record_lead", affiliateId=self.affiliates[lead["affiliate"]], email=lead["email"])
        self._visit(program["id"], rekomi.get("clicks", ()))
        self.server.now = at(min(d.event["created"] for d in self.case.deliveries)) - PAUSE
        await self.adopt(after=0)

    def _visit(self, program: str, clicks: Sequence[JsonObject]) -> None:
        """By hand: the ids of clicks are the server's, and these are in what Stripe tells."""
        organization = self.server.organization
        with self.server.app.open_store().writing() as session:
            links = storage.links.by_slugs(session, organization, (click["slug"] for click in clicks))
            for click in clicks:
                link = links[click["slug"]]
                session.add(
                    ClickRow(
                        id=click["id"],
                        organization_id=organization,
                        program_id=program,
                        affiliate_id=link.affiliate_id,
                        link_id=link.id,
                        visitor_id=click["visitor"],
                        device="Desktop",
                        occurred_at=at(click["at"]),
                    )
                )

    def _terms(self) -> JsonObject:
        seeds = self.case.seeds
        program: JsonObject = dict(seeds.rekomi.get("program", {}))
        terms = {
            "name": "Creators",
            "slug": "creators-of-cases",
            "defaultCommissionType": "Percentage",
            "defaultCommissionValue": seeds.percent,
            "recurringDelayInvoices": seeds.recurring_delay_invoices,
        }
        if seeds.recurring_months is not None:
            terms["recurringMonths"] = seeds.recurring_months
        if "allowSelfPurchase" in program:
            terms["allowSelfPurchases"] = program.pop("allowSelfPurchase")
        return terms | program

    @property
    def end(self) -> int:
        """The moment of the last news."""
        return max(delivery.event["created"] for delivery in self.case.deliveries)

    async def adopt(self, after: int) -> None:
        """Adopt the codes that are adopted once so many deliveries are worked off."""
        for code in self.case.seeds.codes:
            if code.adopt_after == after:
                await self._adopt(code)

    async def _adopt(self, code: SeedCode) -> None:
        adopted = await self.server.do(
            "adopt_promotion_code",
            affiliateId=self.affiliates[code.affiliate],
            promotionCodeId=code.promotion_code,
        )
        assert adopted["code"] == code.code
        settings = self.case.seeds.rekomi.get("coupons", {}).get(code.coupon)
        if settings is not None:
            await self.server.do("update_campaign_coupon", couponId=adopted["campaignCouponId"], **settings)

    async def repair(self) -> None:
        """Put right what the owner would be shown as missed."""
        window = {"since": at(self.end - 90 * 86_400).isoformat(), "until": self.server.now.isoformat()}
        plan = await self.server.do("repair_missed_sales", **window)
        if plan["confirm"] is not None:
            await self.server.do("repair_missed_sales", **window, confirm=plan["confirm"])

    async def deliver(self, *bodies: bytes) -> None:
        """Webhooks that arrive together and are then worked off, when the latest of them has just happened."""
        created = [json.loads(body)["created"] for body in bodies]
        self.server.now = max(self.server.now, at(max(created)) + PAUSE)
        await self.server.post(*bodies)
        await self.server.work_off()

    async def outcome(self) -> Outcome:
        """What the server answers when its owner looks. A denied conversion earns nothing and counts as none."""
        names = self._names()
        rows = [row for row in await self.server.everything("list_conversions") if row["status"] != "Denied"]
        final: Counter[tuple[str, str]] = Counter()
        for row in rows:
            final[names[row["affiliateId"]], row["commissionCurrency"].lower()] += row["remainingCommissionCents"]
        codes = await self.server.everything("list_affiliate_codes")
        preview = await self.server.do("run_payout_preview", take=200)
        balances = {(names[row["affiliateId"]], row["currency"].lower()): _whole(row) for row in preview["candidates"]}
        return Outcome(
            conversions=sorted(
                (
                    row["externalEventId"],
                    names[row["affiliateId"]],
                    row["currency"].lower(),
                    row["amountCents"],
                    row["commissionCents"],
                )
                for row in rows
            ),
            final=dict(final),
            codes={row["stripePromotionCodeId"]: row["status"] == "Active" for row in codes},
            balances={key: value for key, value in balances.items() if value},
        )

    async def held(self) -> list[str]:
        """The sales whose commission would not be payable however long one waited."""
        today = self.server.now
        self.server.now += LONG_AFTER
        rows = await self.server.everything("list_conversions", status="Pending")
        self.server.now = today
        return sorted(row["externalEventId"] for row in rows)

    async def steps(self, source_id: str) -> list[int]:
        """What took commission of a sale away, or gave it back, oldest first."""
        rows = await self.server.everything("list_conversions")
        [found] = [row for row in rows if row["externalEventId"] == source_id]
        events = (await self.server.do("get_conversion", conversionId=found["id"]))["events"]
        own = [each for each in events if each["conversionId"] == found["id"]]
        return [each["commissionCents"] for each in own if each["eventType"] not in ("initial", "renewal")]

    async def noted_for(self, source_id: str) -> tuple[str, list[str]]:
        """Why a sale earned nobody anything, and who had a claim on it."""
        told = await self.server.do("explain_attribution", sourceId=source_id)
        names = self._names()
        return told["outcome"], [names[claim["affiliateId"]] for claim in told["candidates"]]

    def _names(self) -> dict[str, str]:
        return {ours: name for name, ours in self.affiliates.items()}


def at(unix: int) -> datetime:
    return datetime.fromtimestamp(unix, UTC)


def _whole(candidate: JsonObject) -> int:
    """What the ledger holds for somebody: `amountCents` is the held part again when all of it is held."""
    beside = 0 if candidate["ineligibilityReason"] == "on_hold" else candidate["amountCents"]
    return candidate["heldCents"] + beside
