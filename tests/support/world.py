"""A small world that every test may rely on: one organization with a bit of everything, and a neighbour."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rekomi_mcp.storage as storage
from rekomi_mcp.app import App
from rekomi_mcp.domain.access import Operator, System
from rekomi_mcp.domain.sales import Fact, Sale, SaleSource
from rekomi_mcp.operation import Input
from rekomi_mcp.pipeline import Call
from rekomi_mcp.storage.tables import AffiliateCodeRow, CampaignCouponRow
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.tools.ingest.operation import IngestInput

NEIGHBOURS_ACCOUNT = "acct_neighbour01"


@dataclass(frozen=True, slots=True)
class Brand:
    """An organization and one of each thing in it."""

    id: str
    slug: str
    account: str
    program: str
    affiliate: str
    """Approved, Sarah Lee."""
    link: str
    """Sarah's; its slug is her name, in the neighbour's case with something added."""
    slug_of_link: str
    applicant: str
    """Pending."""
    coupon: str
    code: str
    """SARAH20."""
    conversion: str
    """USD 40.00 net, paid on the first of the month, on hold."""
    source: str
    """The Stripe invoice of the conversion."""
    lead: str
    live_token: str
    mcp_token: str


@dataclass(frozen=True, slots=True)
class World:
    acme: Brand
    neighbour: Brand

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def load(path: Path) -> World:
        kept = json.loads(path.read_text())
        return World(Brand(**kept["acme"]), Brand(**kept["neighbour"]))


async def operate(app: App, name: str, arguments: dict[str, Any] | Input, credential: Any = None) -> dict[str, Any]:
    """Run an operation of the catalogue; as the operator unless told otherwise."""
    operation = CATALOGUE.get(name)
    assert operation is not None, name
    call = Call(operation=operation, credential=credential or Operator(), arguments=arguments)
    return (await app.pipeline.execute(call)).body


async def populate(app: App) -> World:
    return World(
        acme=await _brand(app, "Acme", None, "promo_acme_sarah"),
        neighbour=await _brand(app, "Neighbour", NEIGHBOURS_ACCOUNT, "promo_neighbour_sarah"),
    )


async def _brand(app: App, name: str, account: str | None, promotion_code: str) -> Brand:
    organization = await operate(app, "create_organization", {"name": name})
    slug, organization_id = organization["slug"], organization["id"]
    if account is not None:
        await operate(app, "update_organization", {"organization": slug, "stripeAccount": account})
    tokens = {
        kind: (await operate(app, "create_token", {"organization": slug, "kind": kind, "name": "test"}))["token"]
        for kind in ("LIVE", "MCP")
    }
    system = System(organization_id)
    terms = {"name": "Creators", "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
    program = await operate(app, "create_program", terms, system)
    sarah = {"email": "sarah@example.com", "fullName": "Sarah Lee"}
    affiliate = await operate(app, "create_affiliate", sarah, system)
    applicant = await operate(app, "create_affiliate", {"email": "bob@example.com", "status": "Pending"}, system)
    coupon, code = _coupon_and_code(app, organization_id, program["id"], affiliate["id"], promotion_code)
    lead = await operate(app, "record_lead", {"email": "lee@example.com", "affiliateId": affiliate["id"]}, system)
    source = f"in_{slug}_1"
    await sell(app, organization_id, sale(source, codes=(promotion_code,)), account=account or "self")
    [conversion] = (await operate(app, "list_conversions", {}, system))["items"]
    return Brand(
        id=organization_id,
        slug=slug,
        account=account or "self",
        program=program["id"],
        affiliate=affiliate["id"],
        link=affiliate["links"][0]["id"],
        slug_of_link=affiliate["links"][0]["slug"],
        applicant=applicant["id"],
        coupon=coupon,
        code=code,
        conversion=conversion["id"],
        source=source,
        lead=lead["id"],
        live_token=tokens["LIVE"],
        mcp_token=tokens["MCP"],
    )


def _coupon_and_code(app: App, organization_id: str, program: str, affiliate: str, promotion: str) -> tuple[str, str]:
    """Live rows, as if Stripe had confirmed them."""
    now = app.clock()
    coupon = CampaignCouponRow(
        organization_id=organization_id,
        program_id=program,
        name="20 off",
        discount_type="PercentOff",
        discount_value=2000,
        duration="Once",
        allow_affiliate_self_mint=False,
        overrides_click_attribution=True,
        status="Active",
        stripe_coupon_id="coupon_of_the_world",
        created_at=now,
    )
    code = AffiliateCodeRow(
        organization_id=organization_id,
        affiliate_id=affiliate,
        program_id=program,
        campaign_coupon_id=coupon.id,
        code="SARAH20",
        status="Active",
        stripe_promotion_code_id=promotion,
        created_at=now,
    )
    with app.open_store().writing() as session:
        session.add(coupon)
        session.flush()
        session.add(code)
        session.flush()
        return coupon.id, code.id


def sale(
    source_id: str,
    *,
    codes: tuple[str, ...] = (),
    at: datetime | None = None,
    net: int = 4000,
    gross: int = 4400,
    currency: str = "USD",
    **more: Any,
) -> Sale:
    """A paid invoice, as ingest receives it."""
    return Sale(
        source=more.pop("source", SaleSource.Invoice),
        source_id=source_id,
        event_id=more.pop("event_id", f"evt_{source_id}"),
        occurred_at=at or datetime.now(UTC),
        currency=currency,
        net_minor=net,
        gross_minor=gross,
        promotion_code_ids=codes,
        **more,
    )


async def sell(app: App, organization_id: str, *facts: Fact, account: str = "self") -> int:
    """Put facts through the ingest operation, as the inbox worker does; answers how many events were new."""
    now = app.clock()
    event_ids = tuple(dict.fromkeys(fact.event_id for fact in facts))
    rows = [
        {
            "account": account,
            "event_id": event_id,
            "type": "test",
            "livemode": False,
            "source": "test",
            "payload": "{}",
            "state": "pending",
            "attempts": 0,
            "stripe_created": now,
            "received_at": now,
            "next_attempt_at": now,
        }
        for event_id in event_ids
    ]
    with app.open_store().writing() as session:
        storage.inbox.store(session, rows)
    request = IngestInput.model_construct(account=account, event_ids=event_ids, facts=facts)
    return (await operate(app, "ingest_stripe_events", request, System(organization_id)))["events"]
