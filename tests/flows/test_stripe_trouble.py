"""Stripe is down, slow, broken or says no: what the caller is told, what is left behind, and how it ends well."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from sqlmodel import select

from rekomi_mcp.app import App
from rekomi_mcp.gateways.stripe import NewCoupon, NewPromotionCode
from rekomi_mcp.sandbox.app import build_sandbox
from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State
from rekomi_mcp.settings import Settings
from rekomi_mcp.storage.tables import (
    AffiliateCodeRow,
    AuditLineRow,
    CampaignCouponRow,
    IdempotencyRecordRow,
    OutboundCallRow,
)
from rekomi_mcp.tools import CATALOGUE
from tests.support.callers import Reply, http_caller
from tests.support.servers import closed_port, listening, serving
from tests.support.shop import Deal, JsonObject, Shop, open_shop
from tests.support.weather import Sky, Weather
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio

TIMEOUT_SECONDS = 0.25


@dataclass
class Clock:
    """Real time, and what a test adds to it."""

    ahead: timedelta = field(default=timedelta())

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass(frozen=True)
class Stage:
    """A shop whose Stripe is under the weather."""

    shop: Shop
    weather: Weather
    state: State
    token: str
    clock: Clock

    @property
    def app(self) -> App:
        return self.shop.app

    async def ask(self, operation: str, *, key: str | None = None, **arguments: Any) -> Reply:
        """A request over HTTP, with its answer whatever it is."""
        found = CATALOGUE.get(operation)
        assert found is not None
        return await http_caller(self.app)(found, arguments, self.token, key)

    async def sweep_later(self) -> int:
        """The server's own housekeeping, two minutes on."""
        self.clock.ahead += timedelta(minutes=2)
        return await self.app.pipeline.sweep_outbound()

    def left_behind(self) -> dict[str, int]:
        """Rows of the shop that a write to Stripe makes, by table."""
        tables = (CampaignCouponRow, AffiliateCodeRow, OutboundCallRow, IdempotencyRecordRow)
        with self.app.open_store().reading() as session:
            return {
                table.__name__: len(session.exec(select(table).where(table.organization_id == self.shop.id)).all())
                for table in tables
            }

    def in_stripe(self, kind: str) -> list[JsonObject]:
        """Every object of a kind that Stripe holds."""
        with self.state.read() as work:
            return list(work.where(kind, {}))

    def trail(self) -> list[tuple[str, str]]:
        """What the audit log says of writes to Stripe, oldest first."""
        with self.app.open_store().reading() as session:
            lines = session.exec(
                select(AuditLineRow).where(AuditLineRow.organization_id == self.shop.id).order_by(AuditLineRow.seq)  # pyright: ignore[reportArgumentType]
            ).all()
            return [
                (line.action, line.outcome)
                for line in lines
                if line.entity_type in ("campaign_coupon", "affiliate_code")
            ]


@asynccontextmanager
async def staged(
    database: str, world: World, folder: Path, weather: Weather, state: State, address: str
) -> AsyncGenerator[Stage]:
    app = App(
        Settings.model_validate(
            {
                "database_url": database,
                "data_dir": folder,
                "stripe_secret_key": "sk_test_sandbox",
                "stripe_api_base": address,
                "stripe_timeout_seconds": TIMEOUT_SECONDS,
            }
        )
    )
    app.clock = clock = Clock()
    async with app.running():
        shop = await open_shop(app, world, Simulation(state))
        token = await operate(app, "create_token", {"organization": "story", "kind": "LIVE", "name": "script"})
        yield Stage(shop, weather, state, token["token"], clock)


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its attempts the gateway waits for seconds; not here."""

    async def pause(_: float) -> None:
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(anyio, "sleep", pause)


@pytest.fixture(scope="module")
async def sky(anyio_backend: str) -> AsyncGenerator[Sky]:
    sky = Sky()
    with listening() as listener:
        async with serving(sky, listener) as sky.address:
            yield sky


@pytest.fixture
async def stage(database: str, world: World, tmp_path: Path, sky: Sky) -> AsyncGenerator[Stage]:
    path = tmp_path / "stripe.db"
    state, sky.weather = State(path), Weather(build_sandbox(path, deliver=False))
    async with staged(database, world, tmp_path, sky.weather, state, sky.address) as stage:
        yield stage
    state.close()


@pytest.fixture
async def stage_without_stripe(database: str, world: World, tmp_path: Path) -> AsyncGenerator[Stage]:
    path = tmp_path / "stripe.db"
    state, nowhere = State(path), f"http://127.0.0.1:{closed_port()}"
    async with staged(database, world, tmp_path, Weather(build_sandbox(path, deliver=False)), state, nowhere) as stage:
        yield stage
    state.close()


COUPON: JsonObject = {"name": "Creator discount", "discountValue": 20}


async def signed(stage: Stage) -> Deal:
    """Sarah, with a coupon and the code SARAH20, made in fair weather."""
    return await stage.shop.sign()


async def sarah(stage: Stage) -> JsonObject:
    """An affiliate with a coupon and no code yet: what minting one needs."""
    program = await stage.shop.open_program()
    person = await stage.shop.do("create_affiliate", programId=program, email="s@example.com", fullName="Sarah Lee")
    coupon = await stage.shop.do("create_campaign_coupon", programId=program, **COUPON)
    return {"affiliateId": person["id"], "couponId": coupon["id"]}


async def test_a_stripe_that_is_down_is_unavailable_and_nothing_is_left_behind(stage_without_stripe: Stage) -> None:
    stage = stage_without_stripe
    program = await stage.shop.open_program()
    before = stage.left_behind()
    reply = await stage.ask("create_campaign_coupon", programId=program, key="friday", **COUPON)
    assert reply.code == "stripe_unavailable"
    assert stage.left_behind() == before
    again = await stage.ask("create_campaign_coupon", programId=program, key="friday", name="Other", discountValue=5)
    assert again.code == "stripe_unavailable", "the key is free again"
    assert stage.trail() == [("campaign_coupon.created", "stripe_unavailable")] * 2


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (429, "stripe_unavailable"),
        (401, "stripe_misconfigured"),
        (403, "stripe_misconfigured"),
        (400, "stripe_refused"),
    ],
)
@pytest.mark.parametrize("write", ["create_campaign_coupon", "mint_affiliate_code"])
async def test_a_definite_no_leaves_nothing_behind_and_the_key_can_be_used_again(
    stage: Stage, status: int, code: str, write: str
) -> None:
    minting = await sarah(stage)
    arguments = minting | {"code": "SARAH20"} if write == "mint_affiliate_code" else COUPON
    before, lines = stage.left_behind(), len(stage.trail())
    stage.weather.status = status
    reply = await stage.ask(write, key="friday", **await with_program(stage, write, arguments))
    assert reply.code == code
    assert reply.body is not None
    assert reply.body["message"].endswith(".")
    assert stage.left_behind() == before
    assert [outcome for _, outcome in stage.trail()[lines:]] == [code]
    assert await stage.sweep_later() == 0

    stage.weather.clears_up()
    changed = arguments | ({"code": "SARAH-20"} if write == "mint_affiliate_code" else {"name": "Changed"})
    reply = await stage.ask(write, key="friday", **await with_program(stage, write, changed))
    assert (reply.code, reply.replayed) == ("ok", False)
    kind = "promotion_code" if write == "mint_affiliate_code" else "coupon"
    assert len(stage.in_stripe(kind)) == (1 if kind == "promotion_code" else 2)


async def with_program(stage: Stage, write: str, arguments: JsonObject) -> JsonObject:
    """The HTTP path of a coupon names its program."""
    if write != "create_campaign_coupon":
        return arguments
    [program] = (await stage.shop.do("list_programs"))["items"]
    return arguments | {"programId": program["id"]}


async def test_what_stripe_says_to_a_refused_request_reaches_the_caller(stage: Stage) -> None:
    minting = await sarah(stage)
    stage.weather.status, stage.weather.message = 400, "You have too many promotion codes."
    reply = await stage.ask("mint_affiliate_code", code="SARAH20", **minting)
    assert reply.code == "stripe_refused"
    assert reply.body is not None
    assert "You have too many promotion codes." in reply.body["message"]


async def test_a_code_text_that_stripe_does_not_take_is_answered_with_one_it_will(stage: Stage) -> None:
    minting = await sarah(stage)
    stage.weather.refused_text = "SARAH_20"
    reply = await stage.ask("mint_affiliate_code", code="sarah_20", **minting)
    assert reply.code == "stripe_refused"
    assert reply.body is not None
    assert reply.body["field"] == "code"
    assert "SARAH-20" in reply.body["message"]
    assert (await stage.shop.do("list_affiliate_codes"))["items"] == []
    assert (await stage.ask("mint_affiliate_code", code="SARAH-20", **minting)).code == "ok"


def slow(weather: Weather) -> None:
    weather.delay_seconds = 3 * TIMEOUT_SECONDS


def broken(weather: Weather) -> None:
    weather.status = 500


def broken_after_acting(weather: Weather) -> None:
    weather.status, weather.acts = 500, True


Trouble = Callable[[Weather], None]
unknown_outcome = pytest.mark.parametrize("trouble", [broken, broken_after_acting], ids=lambda f: f.__name__)


@pytest.mark.parametrize("trouble", [slow, broken, broken_after_acting], ids=lambda f: f.__name__)
async def test_a_code_whose_outcome_is_unknown_is_pending_until_the_sweep_has_finished_it(
    stage: Stage, trouble: Trouble
) -> None:
    minting = await sarah(stage)
    trouble(stage.weather)
    reply = await stage.ask("mint_affiliate_code", key="friday", code="SARAH20", **minting)
    assert reply.code == "stripe_timeout"
    assert stage.weather.requests.count("POST /v1/promotion_codes") == 3
    [code] = (await stage.shop.do("list_affiliate_codes"))["items"]
    assert (code["code"], code["status"], code["stripePromotionCodeId"]) == ("SARAH20", "Pending", None)
    assert await stage.app.pipeline.sweep_outbound() == 0, "the request may still be at work"

    stage.weather.clears_up()
    assert await stage.sweep_later() == 1
    [made] = stage.in_stripe("promotion_code")
    [code] = (await stage.shop.do("list_affiliate_codes"))["items"]
    assert (code["status"], code["stripePromotionCodeId"]) == ("Active", made["id"])
    assert await stage.sweep_later() == 0
    repeated = await stage.ask("mint_affiliate_code", key="friday", code="SARAH20", **minting)
    assert (repeated.code, repeated.replayed) == ("ok", True)
    assert repeated.body is not None
    assert repeated.body["id"] == code["id"]
    assert stage.trail()[1:] == [("affiliate_code.minted", "stripe_timeout"), ("affiliate_code.minted", "ok")]


async def test_a_code_that_was_redeemed_before_the_sweep_finished_it_is_credited_with_that(stage: Stage) -> None:
    minting = await sarah(stage)
    broken_after_acting(stage.weather)
    await stage.ask("mint_affiliate_code", key="friday", code="SARAH20", **minting)
    stage.weather.clears_up()
    sold = await stage.shop.sell(5000, interval="month", code="SARAH20")
    renewed = stage.shop.customers.renew(sold["subscription"])
    await stage.shop.catch_up()
    assert await stage.shop.conversions() == []

    assert await stage.sweep_later() == 1
    assert {c["externalEventId"]: c["commissionCents"] for c in await stage.shop.conversions()} == {
        sold["invoice"]: 800,
        renewed["invoice"]: 1000,
    }


@unknown_outcome
async def test_a_sweep_in_bad_weather_leaves_the_call_for_the_next(stage: Stage, trouble: Trouble) -> None:
    minting = await sarah(stage)
    trouble(stage.weather)
    await stage.ask("mint_affiliate_code", code="SARAH20", **minting)
    lines = stage.trail()
    assert await stage.sweep_later() == 1
    [code] = (await stage.shop.do("list_affiliate_codes"))["items"]
    assert code["status"] == "Pending"
    assert stage.trail() == lines, "nobody asked again"
    stage.weather.clears_up()
    assert await stage.sweep_later() == 1
    [code] = (await stage.shop.do("list_affiliate_codes"))["items"]
    assert (code["status"], len(stage.in_stripe("promotion_code"))) == ("Active", 1)


@unknown_outcome
@pytest.mark.parametrize("key", [None, "friday"], ids=["without-key", "with-key"])
async def test_the_same_request_again_goes_on_with_the_pending_one(
    stage: Stage, trouble: Trouble, key: str | None
) -> None:
    minting = await sarah(stage)
    trouble(stage.weather)
    first = await stage.ask("mint_affiliate_code", code="SARAH20", key=key, **minting)
    coupon = await stage.ask(
        "create_campaign_coupon",
        key=key,
        **await with_program(stage, "create_campaign_coupon", {**COUPON, "name": "2"}),
    )
    assert (first.code, coupon.code) == ("stripe_timeout", "stripe_timeout")
    stage.weather.clears_up()
    again = await stage.ask("mint_affiliate_code", code="SARAH20", key=key, **minting)
    coupon = await stage.ask(
        "create_campaign_coupon",
        key=key,
        **await with_program(stage, "create_campaign_coupon", {**COUPON, "name": "2"}),
    )
    assert (again.code, coupon.code) == ("ok", "ok")
    assert again.body is not None
    [made] = stage.in_stripe("promotion_code")
    assert again.body["stripePromotionCodeId"] == made["id"]
    assert len(stage.in_stripe("coupon")) == 2
    assert await stage.sweep_later() == 0


@pytest.mark.parametrize("key", [None, "friday"], ids=["without-key", "with-key"])
async def test_a_request_repeated_after_the_sweep_has_finished_it_is_not_done_twice(
    stage: Stage, key: str | None
) -> None:
    """What the assistant is told: when a write timed out, repeat it unchanged, it is not done twice."""
    arguments = {**COUPON, "programId": await stage.shop.open_program()}
    broken_after_acting(stage.weather)
    assert (await stage.ask("create_campaign_coupon", key=key, **arguments)).code == "stripe_timeout"
    stage.weather.clears_up()
    assert await stage.sweep_later() == 1
    assert (await stage.ask("create_campaign_coupon", key=key, **arguments)).code == "ok"
    assert len(stage.in_stripe("coupon")) == 1


async def test_a_key_keeps_its_promise_when_the_request_was_finished_without_it(stage: Stage) -> None:
    arguments = {**COUPON, "programId": await stage.shop.open_program()}
    broken_after_acting(stage.weather)
    assert (await stage.ask("create_campaign_coupon", key="friday", **arguments)).code == "stripe_timeout"
    stage.weather.clears_up()
    finished = await stage.ask("create_campaign_coupon", **arguments)
    repeated = await stage.ask("create_campaign_coupon", key="friday", **arguments)
    assert (finished.code, repeated.code) == ("ok", "ok")
    assert repeated.body == finished.body
    assert len(stage.in_stripe("coupon")) == 1


async def test_a_pending_call_that_stripe_refuses_in_the_end_leaves_nothing_behind(stage: Stage) -> None:
    minting = await sarah(stage)
    before = stage.left_behind()
    broken(stage.weather)
    assert (await stage.ask("mint_affiliate_code", key="friday", code="SARAH20", **minting)).code == "stripe_timeout"
    stage.weather.status = 400
    assert await stage.sweep_later() == 1
    assert stage.left_behind() == before
    assert stage.trail()[1:] == [
        ("affiliate_code.minted", "stripe_timeout"),
        ("affiliate_code.minted", "stripe_refused"),
    ]
    stage.weather.clears_up()
    assert (await stage.ask("mint_affiliate_code", key="friday", code="SARAH20", **minting)).code == "ok"


async def test_a_refused_key_does_not_make_the_server_forget_what_stripe_may_hold(stage: Stage) -> None:
    """The promotion code is live in Stripe: forgotten here, its sales would be credited to nobody."""
    minting = await sarah(stage)
    broken_after_acting(stage.weather)
    assert (await stage.ask("mint_affiliate_code", code="SARAH20", **minting)).code == "stripe_timeout"
    stage.weather.status, stage.weather.acts = 401, False
    await stage.sweep_later()
    stage.weather.clears_up()
    await stage.sweep_later()
    [made] = stage.in_stripe("promotion_code")
    codes = (await stage.shop.do("list_affiliate_codes"))["items"]
    assert [(code["status"], code["stripePromotionCodeId"]) for code in codes] == [("Active", made["id"])]


async def make_outside(stage: Stage, text: str) -> None:
    """Somebody makes a promotion code in Stripe's dashboard."""
    client = await stage.app.stripe.client()
    coupon = await client.v1.coupons.create_async({"percent_off": 50})
    await client.v1.promotion_codes.create_async({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": text})


@pytest.mark.parametrize("text", ["SARAH20", "sarah20"])
async def test_a_text_that_is_active_in_stripe_already_is_taken(stage: Stage, text: str) -> None:
    minting = await sarah(stage)
    await make_outside(stage, text)
    before = stage.left_behind()
    reply = await stage.ask("mint_affiliate_code", code="SARAH20", **minting)
    assert reply.code == "code_already_taken"
    assert reply.body is not None
    assert reply.body["field"] == "code"
    assert stage.left_behind() == before


async def test_a_generated_text_avoids_what_is_active_in_stripe_already(stage: Stage) -> None:
    minting = await sarah(stage)
    await make_outside(stage, "SARAH20")
    reply = await stage.ask("mint_affiliate_code", **minting)
    assert reply.code == "ok"
    assert reply.body is not None
    assert reply.body["code"].startswith("SARAH20-")
    assert reply.body["status"] == "Active"
    [ours] = [code for code in stage.in_stripe("promotion_code") if code["code"] != "SARAH20"]
    assert (ours["code"], ours["id"]) == (reply.body["code"], reply.body["stripePromotionCodeId"])


@pytest.mark.parametrize(("status", "code"), [(429, "stripe_unavailable"), (401, "stripe_misconfigured")])
async def test_a_code_that_could_not_be_ended_in_stripe_goes_on_here(stage: Stage, status: int, code: str) -> None:
    deal = await signed(stage)
    stage.weather.status = status
    codes = {"affiliateId": deal.affiliate, "codeId": deal.code}
    coupons = {"programId": deal.program, "couponId": deal.coupon}
    assert (await stage.ask("deactivate_affiliate_code", **codes)).code == code
    assert (await stage.ask("archive_campaign_coupon", **coupons)).code == code
    [kept] = (await stage.shop.do("list_affiliate_codes"))["items"]
    [coupon] = (await stage.shop.do("list_campaign_coupons"))["items"]
    assert (kept["status"], coupon["status"]) == ("Active", "Active")
    assert await stage.sweep_later() == 0


@unknown_outcome
async def test_an_ending_whose_outcome_is_unknown_is_finished_by_the_sweep(stage: Stage, trouble: Trouble) -> None:
    deal = await signed(stage)
    trouble(stage.weather)
    reply = await stage.ask("deactivate_affiliate_code", affiliateId=deal.affiliate, codeId=deal.code)
    assert reply.code == "stripe_timeout"
    stage.weather.clears_up()
    assert await stage.sweep_later() == 1
    [code] = (await stage.shop.do("list_affiliate_codes"))["items"]
    [made] = stage.in_stripe("promotion_code")
    assert (code["status"], made["active"]) == ("Inactive", False)


@unknown_outcome
async def test_an_archived_coupon_whose_outcome_is_unknown_takes_its_codes_along_in_the_end(
    stage: Stage, trouble: Trouble
) -> None:
    deal = await signed(stage)
    trouble(stage.weather)
    reply = await stage.ask("archive_campaign_coupon", programId=deal.program, couponId=deal.coupon)
    assert reply.code == "stripe_timeout"
    stage.weather.clears_up()
    assert await stage.sweep_later() == 1
    [code] = (await stage.shop.do("list_affiliate_codes"))["items"]
    [coupon] = (await stage.shop.do("list_campaign_coupons", includeArchived=True))["items"]
    assert (code["status"], coupon["status"], stage.in_stripe("coupon")) == ("Inactive", "Archived", [])


async def adoptable(stage: Stage) -> JsonObject:
    """A promotion code of the merchant's, and somebody to adopt it."""
    person = await sarah(stage)
    stripe = stage.app.stripe.account("self")
    await stripe.create_coupon(NewCoupon(id="BLOG", row_id="x", name="Blog", percent_off=10, duration="once"))
    made = await stripe.create_promotion_code(NewPromotionCode(row_id="x", coupon_id="BLOG", code="BLOG10"))
    return {"affiliateId": person["affiliateId"], "promotionCodeId": made}


@pytest.mark.parametrize(
    ("status", "code"), [(429, "stripe_unavailable"), (500, "stripe_unavailable"), (401, "stripe_misconfigured")]
)
async def test_a_stripe_that_cannot_be_asked_leaves_nothing_behind_and_the_key_can_be_used_again(
    stage: Stage, status: int, code: str
) -> None:
    adopting = await adoptable(stage)
    before = stage.left_behind()
    stage.weather.status = status
    assert (await stage.ask("list_adoptable_codes")).code == code
    assert (await stage.ask("adopt_promotion_code", key="friday", **adopting)).code == code
    assert stage.left_behind() == before
    stage.weather.clears_up()
    other = adopting | {"customCommissionType": "Percentage", "customCommissionValue": 30}
    assert (await stage.ask("adopt_promotion_code", key="friday", **other)).code == "ok"
    adopted = [line for line in stage.trail() if line[0] == "affiliate_code.adopted"]
    assert adopted == [("affiliate_code.adopted", code), ("affiliate_code.adopted", "ok")]


async def test_an_answer_that_comes_too_late_is_no_open_question_when_stripe_was_only_asked(stage: Stage) -> None:
    adopting = await adoptable(stage)
    before = stage.left_behind()
    stage.weather.delay_seconds = 2 * TIMEOUT_SECONDS
    assert (await stage.ask("adopt_promotion_code", **adopting)).code == "stripe_unavailable"
    assert stage.left_behind() == before


async def test_a_remembered_answer_needs_no_stripe(stage: Stage) -> None:
    adopting = await adoptable(stage)
    first = await stage.ask("adopt_promotion_code", key="friday", **adopting)
    asked, stage.weather.status = len(stage.weather.requests), 500
    again = await stage.ask("adopt_promotion_code", key="friday", **adopting)
    assert (again.code, again.body, again.replayed) == ("ok", first.body, True)
    assert len(stage.weather.requests) == asked
