"""What callers get wrong: each mistake has its code, its field, and a message that helps; nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import pytest
from sqlmodel import Session
from starlette.applications import Starlette

from rekomi_mcp.app import App
from rekomi_mcp.domain.paging import encode_cursor, encode_number
from rekomi_mcp.storage.tables import AffiliateRow, CampaignCouponRow, ProgramRow
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.transports.http import EXCEPTION_HANDLERS, build_routes
from tests.support.callers import http_caller, mcp_caller
from tests.support.contents import audit_lines, contents
from tests.support.world import Brand, World

pytestmark = pytest.mark.anyio

Arguments = dict[str, Any]
R = TypeVar("R", AffiliateRow, CampaignCouponRow, ProgramRow)


@dataclass(frozen=True, slots=True)
class Scene:
    """A brand with one of everything, and with things that are over."""

    brand: Brand
    neighbour: Brand
    archived_coupon: str
    other_programs_coupon: str
    archived_program: str
    archived_programs_affiliate: str
    archived_programs_coupon: str


@pytest.fixture
def scene(app: App, world: World) -> Scene:
    brand = world.acme

    def another(session: Session, like: type[R], row_id: str, **changes: Any) -> str:
        """A row like one of the brand's, but for some columns."""
        row = session.get_one(like, row_id).model_dump(exclude={"id"})
        made = like(**row | changes)
        session.add(made)
        session.flush()
        return made.id

    with app.open_store().writing() as session:
        other = another(session, ProgramRow, brand.program, slug="other")
        over = another(session, ProgramRow, brand.program, slug="over", archived_at=app.clock())
        return Scene(
            brand,
            world.neighbour,
            archived_coupon=another(session, CampaignCouponRow, brand.coupon, status="Archived"),
            other_programs_coupon=another(session, CampaignCouponRow, brand.coupon, program_id=other),
            archived_program=over,
            archived_programs_affiliate=another(session, AffiliateRow, brand.affiliate, program_id=over),
            archived_programs_coupon=another(session, CampaignCouponRow, brand.coupon, program_id=over),
        )


@dataclass(frozen=True, slots=True)
class Mistake:
    """A call that must be refused."""

    name: str
    operation: str
    arguments: Callable[[Scene], Arguments]
    code: str
    field: str | None
    says: str
    """A part of the message: what is wrong or what to do about it."""


def mistake(
    name: str,
    operation: str,
    arguments: Callable[[Scene], Arguments],
    field: str | None,
    says: str,
    code: str = "validation_failed",
) -> Any:
    return pytest.param(Mistake(name, operation, arguments, code, field, says), id=name.replace(" ", "-"))


def coupon_with(**wrong: Any) -> Callable[[Scene], Arguments]:
    return lambda s: {"programId": s.brand.program, "name": "Summer", "discountValue": 20} | wrong


def code_with(**wrong: Any) -> Callable[[Scene], Arguments]:
    return lambda s: {"affiliateId": s.brand.affiliate, "couponId": s.brand.coupon, "code": "NEW-CODE"} | wrong


def affiliate_with(**wrong: Any) -> Callable[[Scene], Arguments]:
    return lambda s: {"programId": s.brand.program, "email": "new@example.com"} | wrong


def program_with(**wrong: Any) -> Callable[[Scene], Arguments]:
    return lambda s: {"programId": s.brand.program} | wrong


def just(**wrong: Any) -> Callable[[Scene], Arguments]:
    return lambda s: wrong


MISTAKES = [
    mistake(
        "name of 200 characters",
        "create_affiliate",
        affiliate_with(fullName="n" * 200),
        "fullName",
        "at most 120 characters, and this has 200",
    ),
    mistake("blank name", "create_affiliate", affiliate_with(fullName="  "), "fullName", "fullName: must not be empty"),
    mistake("percent 0", "create_campaign_coupon", coupon_with(discountValue=0), "discountValue", "above 0"),
    mistake("percent 101", "create_campaign_coupon", coupon_with(discountValue=101), "discountValue", "at most 100"),
    mistake(
        "percent 20.001", "create_campaign_coupon", coupon_with(discountValue=20.001), "discountValue", "percentage"
    ),
    mistake(
        "amount off without currency",
        "create_campaign_coupon",
        coupon_with(discountType="AmountOff"),
        "discountCurrency",
        "discountCurrency is required for AmountOff",
    ),
    mistake(
        "percent off with currency",
        "create_campaign_coupon",
        coupon_with(discountCurrency="USD"),
        "discountCurrency",
        "only for AmountOff",
    ),
    mistake(
        "half a yen off",
        "create_campaign_coupon",
        coupon_with(discountType="AmountOff", discountValue=10.5, discountCurrency="JPY"),
        "discountValue",
        "at most 0 decimals in JPY",
    ),
    mistake(
        "unsupported currency",
        "create_campaign_coupon",
        coupon_with(discountType="AmountOff", discountCurrency="XAU"),
        "discountCurrency",
        "must be one of",
        "unsupported_currency",
    ),
    mistake(
        "repeating without months",
        "create_campaign_coupon",
        coupon_with(duration="Repeating"),
        "durationInMonths",
        "required for Repeating",
    ),
    mistake(
        "months without repeating",
        "create_campaign_coupon",
        coupon_with(duration="Once", durationInMonths=3),
        "durationInMonths",
        "only for Repeating",
    ),
    mistake(
        "coupon expired already",
        "create_campaign_coupon",
        coupon_with(expiresAt="2020-01-01"),
        "expiresAt",
        "Give a time in the future",
    ),
    mistake(
        "coupon of an unknown program",
        "create_campaign_coupon",
        coupon_with(programId="nonsense"),
        "programId",
        "list_programs",
        "not_found",
    ),
    mistake(
        "coupon of an archived program",
        "create_campaign_coupon",
        lambda s: coupon_with(programId=s.archived_program)(s),
        "programId",
        "Choose a live one",
        "program_archived",
    ),
    mistake("code with a space", "mint_affiliate_code", code_with(code="SARAH 20"), "code", "without spaces"),
    mistake("code of 2 characters", "mint_affiliate_code", code_with(code="AB"), "code", "3 to 32"),
    mistake("code of 33 characters", "mint_affiliate_code", code_with(code="A" * 33), "code", "3 to 32"),
    mistake("code with an umlaut", "mint_affiliate_code", code_with(code="SÄRAH20"), "code", "A-Z"),
    mistake("empty code", "mint_affiliate_code", code_with(code=""), "code", "3 to 32"),
    mistake(
        "code taken", "mint_affiliate_code", code_with(code="SARAH20"), "code", "choose another", "code_already_taken"
    ),
    mistake(
        "code taken in another case",
        "mint_affiliate_code",
        code_with(code="sarah20"),
        "code",
        "choose another",
        "code_already_taken",
    ),
    mistake(
        "code for an unknown affiliate",
        "mint_affiliate_code",
        code_with(affiliateId="nonsense"),
        "affiliateId",
        "list_affiliates",
        "not_found",
    ),
    mistake(
        "code for the neighbours affiliate",
        "mint_affiliate_code",
        lambda s: code_with(affiliateId=s.neighbour.affiliate)(s),
        "affiliateId",
        "list_affiliates",
        "not_found",
    ),
    mistake(
        "code for an applicant",
        "mint_affiliate_code",
        lambda s: code_with(affiliateId=s.brand.applicant)(s),
        "affiliateId",
        "approve_affiliate",
        "affiliate_not_approved",
    ),
    mistake(
        "code of an archived coupon",
        "mint_affiliate_code",
        lambda s: code_with(couponId=s.archived_coupon)(s),
        "couponId",
        "Choose a live one",
        "coupon_archived",
    ),
    mistake(
        "code of another programs coupon",
        "mint_affiliate_code",
        lambda s: code_with(couponId=s.other_programs_coupon)(s),
        "couponId",
        "another program",
    ),
    mistake(
        "code in an archived program",
        "mint_affiliate_code",
        lambda s: {"affiliateId": s.archived_programs_affiliate, "couponId": s.archived_programs_coupon},
        "affiliateId",
        "archived",
        "program_archived",
    ),
    mistake(
        "code expired already",
        "mint_affiliate_code",
        code_with(expiresAt="2020-01-01T00:00:00Z"),
        "expiresAt",
        "Give a time in the future",
    ),
    mistake(
        "minimum without currency",
        "mint_affiliate_code",
        code_with(minimumAmountCents=5000),
        "minimumAmountCurrency",
        "together",
    ),
    mistake(
        "own commission without value",
        "mint_affiliate_code",
        code_with(customCommissionType="Percentage"),
        "customCommissionValue",
        "together",
    ),
    mistake(
        "own commission of 101 percent",
        "mint_affiliate_code",
        code_with(customCommissionType="Percentage", customCommissionValue=101),
        "customCommissionValue",
        "0 to 100",
    ),
    mistake(
        "the neighbours code ended",
        "deactivate_affiliate_code",
        lambda s: {"affiliateId": s.brand.affiliate, "codeId": s.neighbour.code},
        "codeId",
        "list_affiliate_codes",
        "not_found",
    ),
    mistake(
        "a coupon archived again",
        "archive_campaign_coupon",
        lambda s: {"programId": s.brand.program, "couponId": s.archived_coupon},
        "couponId",
        "already",
        "coupon_archived",
    ),
    mistake("malformed cursor", "list_affiliates", just(cursor="nonsense"), "cursor", "nextCursor"),
    mistake("cursor with odd characters", "list_programs", just(cursor="%%%"), "cursor", "nextCursor"),
    mistake(
        "cursor of another list",
        "list_affiliates",
        just(cursor=encode_cursor("programs", datetime(2026, 1, 1, tzinfo=UTC), "x")),
        "cursor",
        "nextCursor",
    ),
    mistake(
        "cursor of the audit log", "list_conversions", just(cursor=encode_number("audit_log", 3)), "cursor", "none"
    ),
    mistake("take 0", "list_affiliates", just(take=0), "take", "greater than or equal to 1"),
    mistake("take 201", "list_affiliates", just(take=201), "take", "less than or equal to 200"),
    mistake("take x", "list_affiliates", just(take="x"), "take", "whole number"),
    mistake(
        "conversions since after until",
        "list_conversions",
        just(since="2026-02-01", until="2026-01-01"),
        "since",
        "before until",
    ),
    mistake(
        "audit lines since after until",
        "list_audit_log",
        just(since="2026-02-01", until="2026-01-01"),
        "since",
        "before until",
    ),
    mistake("not a date", "list_conversions", just(since="yesterday"), "since", "date"),
    mistake("not a date of ten characters", "list_conversions", just(since="2026-13-45"), "since", "for example"),
    mistake("digits for a time", "list_conversions", just(since="2026"), "since", "for example"),
    mistake("a number for a time", "list_audit_log", just(until=0.5), "until", "for example"),
    mistake("an hour past all years", "list_conversions", just(until="9999-12-31T23:59-10:00"), "until", "9998"),
    mistake("a day past all years", "run_payout_preview", just(periodEnd="9999-12-31"), "periodEnd", "9998"),
    mistake("a number for a day", "run_payout_preview", just(periodStart=0), "periodStart", "for example"),
    mistake("a time for a day", "run_payout_preview", just(periodStart="2026-01-01T00:00"), "periodStart", "a day"),
    mistake("yes for true", "list_programs", just(includeArchived="yes"), "includeArchived", "true or false"),
    mistake("true for 1", "update_program", program_with(cookieWindowDays=True), "cookieWindowDays", "whole number"),
    mistake(
        "more uses than a number holds",
        "mint_affiliate_code",
        code_with(maxRedemptions=10**30),
        "maxRedemptions",
        "1000000000",
    ),
    mistake(
        "a least order past all amounts",
        "mint_affiliate_code",
        code_with(minimumAmountCents=10**30, minimumAmountCurrency="USD"),
        "minimumAmountCents",
        "99999999",
    ),
    mistake(
        "more uses of a coupon than a number holds",
        "create_campaign_coupon",
        coupon_with(maxRedemptionsPerCode=2**31),
        "maxRedemptionsPerCode",
        "1000000000",
    ),
    mistake("other digits", "list_programs", just(take="1_0"), "take", "whole number"),
    mistake("1 for true", "update_program", program_with(autoApprove=1), "autoApprove", "true or false"),
    mistake(
        "period the wrong way round",
        "run_payout_preview",
        just(periodStart="2026-02-01", periodEnd="2026-01-01"),
        "periodStart",
        "must not be after",
    ),
    mistake("bad e-mail", "create_affiliate", affiliate_with(email="nobody"), "email", "for example"),
    mistake(
        "e-mail with a line break", "create_affiliate", affiliate_with(email="a@example.com\nb"), "email", "for example"
    ),
    mistake(
        "duplicate affiliate",
        "create_affiliate",
        affiliate_with(email="sarah@example.com"),
        "email",
        "list_affiliates",
        "affiliate_already_exists",
    ),
    mistake(
        "duplicate affiliate in another case",
        "create_affiliate",
        affiliate_with(email="Sarah@Example.com"),
        "email",
        "list_affiliates",
        "affiliate_already_exists",
    ),
    mistake(
        "reserved alias",
        "create_affiliate",
        affiliate_with(customAlias="admin"),
        "customAlias",
        "Choose another",
        "slug_reserved",
    ),
    mistake(
        "taken alias",
        "create_affiliate",
        affiliate_with(customAlias="sarah-lee"),
        "customAlias",
        "Choose another",
        "alias_already_taken",
    ),
    mistake(
        "alias with a space", "create_affiliate", affiliate_with(customAlias="sarah lee"), "customAlias", "for example"
    ),
    mistake(
        "affiliate of an archived program",
        "create_affiliate",
        lambda s: affiliate_with(programId=s.archived_program)(s),
        "programId",
        "Choose a live one",
        "program_archived",
    ),
    mistake(
        "an affiliate approved again",
        "approve_affiliate",
        lambda s: {"affiliateId": s.brand.affiliate},
        "affiliateId",
        "update_affiliate",
        "status_conflict",
    ),
    *(
        mistake(
            f"custom domain {name}",
            "update_program",
            program_with(customDomain=text),
            "customDomain",
            "customDomain: must be a host name in lower case, for example go.example.com.",
        )
        for name, text in {
            "that is an address": "https://go.example.com",
            "in capitals": "GO.example.com",
            "with a line end": "go.example.com\n",
            "of 254 characters": "a." * 125 + "shop",
        }.items()
    ),
    mistake("program changed by nothing", "update_program", program_with(), None, "give at least one field"),
    mistake(
        "affiliate changed by nothing",
        "update_affiliate",
        lambda s: {"affiliateId": s.brand.affiliate},
        None,
        "give at least one field",
    ),
    mistake("recurringMonths -2", "update_program", program_with(recurringMonths=-2), "recurringMonths", "-1"),
    mistake(
        "visibility Public",
        "update_program",
        program_with(networkVisibility="Public"),
        "networkVisibility",
        "'Private', 'Networked' or 'InviteOnly'",
    ),
    mistake(
        "commission type without value",
        "update_program",
        program_with(defaultCommissionType="Fixed"),
        "defaultCommissionValue",
        "together",
    ),
    mistake(
        "program archived again",
        "archive_program",
        lambda s: {"programId": s.archived_program},
        "programId",
        "already",
        "status_conflict",
    ),
    mistake(
        "snake case in a write",
        "create_affiliate",
        affiliate_with(full_name="Kim"),
        "full_name",
        "did you mean fullName?",
    ),
    mistake(
        "snake case in a read",
        "list_affiliates",
        lambda s: {"program_id": s.brand.program},
        "program_id",
        "did you mean programId?",
    ),
    mistake("unknown argument", "list_affiliates", just(colour="red"), "colour", "programId"),
    mistake(
        "lead of nobody", "record_lead", just(email="kim@example.com"), "affiliateId", "exactly one of affiliateId"
    ),
    mistake(
        "lead of two",
        "record_lead",
        lambda s: {"email": "kim@example.com", "affiliateId": s.brand.affiliate, "code": "SARAH20"},
        "affiliateId",
        "exactly one of affiliateId",
    ),
    mistake(
        "lead of an applicant",
        "record_lead",
        lambda s: {"email": "kim@example.com", "affiliateId": s.brand.applicant},
        "affiliateId",
        "approve_affiliate",
        "affiliate_not_approved",
    ),
    mistake(
        "lead of an affiliate of an archived program",
        "record_lead",
        lambda s: {"email": "kim@example.com", "affiliateId": s.archived_programs_affiliate},
        "affiliateId",
        "archived",
        "program_archived",
    ),
    mistake(
        "link in an archived program",
        "create_link",
        lambda s: {"affiliateId": s.archived_programs_affiliate},
        "affiliateId",
        "archived",
        "program_archived",
    ),
    mistake(
        "adoption in an archived program",
        "adopt_promotion_code",
        lambda s: {"affiliateId": s.archived_programs_affiliate, "promotionCodeId": "promo_1"},
        "affiliateId",
        "archived",
        "program_archived",
    ),
    mistake(
        "lead of an unknown code",
        "record_lead",
        just(email="kim@example.com", code="NOBODY"),
        "code",
        "list_affiliate_codes",
        "not_found",
    ),
    mistake("explanation of nothing", "explain_attribution", just(), "conversionId", "exactly one"),
    mistake(
        "explanation of two things",
        "explain_attribution",
        lambda s: {"conversionId": s.brand.conversion, "sourceId": s.brand.source},
        "conversionId",
        "exactly one",
    ),
    mistake("unknown code", "explain_attribution", just(code="NOBODYS"), "code", "list_adoptable_codes", "not_found"),
    mistake("unknown sale", "explain_attribution", just(sourceId="in_unknown"), "sourceId", "sync", "not_found"),
]


@pytest.mark.parametrize(
    ("database", "transport"), [("sqlite", "http"), ("sqlite", "mcp"), ("postgres", "http")], indirect=["database"]
)
@pytest.mark.parametrize("wrong", MISTAKES)
async def test_a_mistake_is_answered_with_its_code_its_field_and_advice_and_changes_nothing(
    app: App, scene: Scene, transport: str, wrong: Mistake
) -> None:
    operation = CATALOGUE.get(wrong.operation)
    assert operation is not None
    before, lines = contents(app), audit_lines(app)

    call = http_caller(app) if transport == "http" else mcp_caller(app)
    token = scene.brand.live_token if transport == "http" else scene.brand.mcp_token
    reply = await call(operation, wrong.arguments(scene), token)

    assert contents(app) == before
    added = audit_lines(app)
    for line in lines:
        added.remove(line)
    assert added == ([] if operation.reads else [(scene.brand.id, operation.audit, wrong.code)])
    assert reply.body is not None
    assert reply.code == wrong.code, reply.body
    assert wrong.says in reply.body["message"]
    assert reply.body["message"].endswith((".", "?"))
    assert reply.body.get("field") == wrong.field


@dataclass(frozen=True, slots=True)
class Body:
    """A body that is no good, whatever the operation."""

    content: bytes
    status: int
    code: str
    says: str


LIMIT_BYTES = 2048
BODIES = {
    "not JSON": Body(b"name=Summer", 400, "validation_failed", "Send a JSON object."),
    "half JSON": Body(b'{"name": "Summer"', 400, "validation_failed", "Send a JSON object."),
    "not UTF-8": Body(b'{"name": "\xff"}', 400, "validation_failed", "Send a JSON object."),
    "an array": Body(b"[]", 400, "validation_failed", "Send a JSON object."),
    "a number": Body(b"7", 400, "validation_failed", "Send a JSON object."),
    "nested without end": Body(b"[" * 2000, 400, "validation_failed", "Send a JSON object."),
    "too large": Body(b'{"name": "' + b"x" * LIMIT_BYTES + b'"}', 413, "payload_too_large", "Send less"),
    "a program that contradicts the path": Body(b'{"programId": "other"}', 400, "validation_failed", "in the path"),
}


async def patch(app: App, path: str, token: str, content: bytes) -> httpx.Response:
    """A PATCH to a facade that takes bodies of 2 KiB."""
    routes = build_routes(CATALOGUE, app.pipeline, LIMIT_BYTES)
    transport = httpx.ASGITransport(Starlette(routes=[*routes], exception_handlers=EXCEPTION_HANDLERS))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.patch(path, content=content, headers={"authorization": f"Bearer {token}"})


@pytest.mark.parametrize("body", BODIES.values(), ids=[name.replace(" ", "-") for name in BODIES])
async def test_a_bad_body_is_refused_in_words_and_changes_nothing(app: App, scene: Scene, body: Body) -> None:
    before = contents(app)
    answer = await patch(app, f"/api/v1/programs/{scene.brand.program}", scene.brand.live_token, body.content)
    assert contents(app) == before
    assert (answer.status_code, answer.json()["error"]) == (body.status, body.code)
    assert body.says in answer.json()["message"]
    assert answer.json()["message"].endswith(".")


@pytest.mark.parametrize("name", ["not JSON", "too large", "a program that contradicts the path"])
async def test_a_write_refused_for_its_body_leaves_one_audit_line_like_any_other(
    app: App, scene: Scene, name: str
) -> None:
    body = BODIES[name]
    lines = audit_lines(app)
    await patch(app, f"/api/v1/programs/{scene.brand.program}", scene.brand.live_token, body.content)
    added = audit_lines(app)
    for line in lines:
        added.remove(line)
    assert added == [(scene.brand.id, "program.updated", body.code)]


async def test_a_path_and_a_body_that_say_the_same_do_not_contradict(app: App, scene: Scene) -> None:
    content = f'{{"programId": "{scene.brand.program}", "name": "Renamed"}}'.encode()
    answer = await patch(app, f"/api/v1/programs/{scene.brand.program}", scene.brand.live_token, content)
    assert (answer.status_code, answer.json()["name"]) == (200, "Renamed")


@pytest.mark.parametrize("key", ["", "k" * 256], ids=["empty", "256-characters"])
async def test_an_idempotency_key_that_is_none_is_refused(app: App, scene: Scene, key: str) -> None:
    operation = CATALOGUE.get("update_program")
    assert operation is not None
    arguments = {"programId": scene.brand.program, "name": "Renamed"}
    before = contents(app)
    routes = build_routes(CATALOGUE, app.pipeline, LIMIT_BYTES)
    transport = httpx.ASGITransport(Starlette(routes=[*routes], exception_handlers=EXCEPTION_HANDLERS))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        headers = {"authorization": f"Bearer {scene.brand.live_token}", "idempotency-key": key}
        path = f"/api/v1/programs/{scene.brand.program}"
        answer = await client.patch(path, json={"name": arguments["name"]}, headers=headers)
    over_mcp = await mcp_caller(app)(operation, arguments | {"idempotencyKey": key}, scene.brand.mcp_token)
    assert contents(app) == before
    for refused in (answer.json(), over_mcp.body):
        assert refused is not None
        assert (refused["error"], refused["field"]) == ("validation_failed", "idempotencyKey")
