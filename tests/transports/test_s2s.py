"""The doors of sellers' servers: signed sales and signups, and everything that is not quite that."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest
from sqlmodel import select

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.serving import build_http_app
from rekomi_mcp.settings import Settings
from rekomi_mcp.storage import tokens
from rekomi_mcp.storage.tables import ApiTokenRow, ConversionRow, LeadRow, SaleRow, SigningSecretRow
from rekomi_mcp.transports.tracking import MAX_SIGNED_BYTES
from tests.support.contents import audit_lines, contents
from tests.support.seller import LEAD, SALE, Seller, mac, new_secret, now
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio

PURCHASE: dict[str, Any] = {
    "externalEventId": "purchase_abc123",
    "affiliateSlug": "sarah-lee",
    "amountCents": 9900,
    "customerId": "cus_external_xyz",
}
SIGNUP = {"affiliateSlug": "sarah-lee", "email": "new@example.com", "name": "Jané", "externalEventId": "signup_1"}
both_doors = pytest.mark.parametrize(("path", "body"), [(SALE, PURCHASE), (LEAD, SIGNUP)], ids=["sale", "lead"])


@pytest.fixture
async def seller(app: App, client: httpx.AsyncClient, world: World) -> Seller:
    return Seller(client, world.acme.live_token, (await new_secret(app))["secret"])


def told(app: App) -> list[SaleRow]:
    """The sales that servers told, oldest first."""
    with app.open_store().reading() as session:
        rows = session.exec(select(SaleRow).where(SaleRow.source == "server")).all()
        return sorted(rows, key=lambda row: row.recorded_at)


def lines_of(app: App, world: World) -> list[tuple[str, str]]:
    return [(action, outcome) for brand, action, outcome in audit_lines(app) if brand == world.acme.id]


async def test_a_signed_sale_is_recorded_and_credited(app: App, world: World, seller: Seller) -> None:
    answer = await seller.post(SALE, PURCHASE)
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["ok", "conversionId"]
    with app.open_store().reading() as session:
        row = session.get(ConversionRow, body["conversionId"])
        assert row is not None
    assert (row.affiliate_id, row.amount_minor, row.currency) == (world.acme.affiliate, 9900, "USD")
    assert (row.commission_minor, row.organization_id) == (1980, world.acme.id)
    [sale] = told(app)
    assert (sale.source_id, sale.customer_id) == ("purchase_abc123", "cus_external_xyz")
    assert "x-ratelimit-remaining" in answer.headers


async def test_the_same_sale_again_is_answered_and_not_recorded(app: App, world: World, seller: Seller) -> None:
    await seller.post(SALE, PURCHASE)
    before = contents(app)
    answer = await seller.post(SALE, PURCHASE)
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "deduped": True})
    assert contents(app) == before


async def test_a_captured_call_changes_nothing_when_it_is_sent_again(app: App, world: World, seller: Seller) -> None:
    body, unix = json.dumps(PURCHASE).encode(), now()
    headers = {
        "authorization": f"Bearer {seller.token}",
        "x-rekomi-signature": f"t={unix},sig={mac(seller.secret, b'%d.' % unix + body)}",
    }
    answers = [await seller.client.post(SALE, content=body, headers=headers) for _ in range(3)]
    assert [answer.json().get("deduped", False) for answer in answers] == [False, True, True]
    assert len(told(app)) == 1


async def test_a_signed_signup_is_a_lead_of_the_server(app: App, world: World, seller: Seller) -> None:
    answer = await seller.post(LEAD, SIGNUP)
    assert (answer.status_code, list(answer.json())) == (200, ["ok", "leadId"])
    with app.open_store().reading() as session:
        row = session.get(LeadRow, answer.json()["leadId"])
        assert row is not None
    assert (row.affiliate_id, row.email, row.name) == (world.acme.affiliate, "new@example.com", "Jané")
    assert (row.source, row.external_event_id) == ("Server", "signup_1")
    assert (await seller.post(LEAD, SIGNUP)).json() == {"ok": True, "deduped": True}
    listed = await operate(app, "list_leads", {"email": "new@example.com"}, System(world.acme.id))
    assert [lead["source"] for lead in listed["items"]] == ["Server"]


async def test_a_lead_without_a_signature_is_still_one_of_the_api(app: App, script: httpx.AsyncClient) -> None:
    answer = await script.post("/api/v1/leads", json=SIGNUP)
    assert answer.json()["source"] == "Api"


@both_doors
async def test_the_token_may_come_in_a_header_of_its_own(
    app: App, world: World, seller: Seller, path: str, body: dict[str, Any]
) -> None:
    answer = await seller.post(path, body, authorization="", x_rekomi_api_key=seller.token)
    assert answer.json()["ok"]
    twice = await seller.post(path, body, x_rekomi_api_key=seller.token)
    assert (twice.status_code, twice.json()["error"]) == (401, "unauthorized")


@both_doors
@pytest.mark.parametrize("key", ["", "rk_live_nonsense", "rk_mcp_nonsense", "nonsense"])
async def test_a_stranger_is_refused(
    app: App, world: World, seller: Seller, path: str, body: dict[str, Any], key: str
) -> None:
    before = contents(app), audit_lines(app)
    for authorization, own in ((f"Bearer {key}" if key else "", ""), ("", key)):
        answer = await seller.post(path, body, authorization=authorization, x_rekomi_api_key=own)
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert (contents(app), audit_lines(app)) == before


@both_doors
async def test_an_assistants_token_is_no_servers(world: World, seller: Seller, path: str, body: dict[str, Any]) -> None:
    answer = await seller.post(path, body, authorization=f"Bearer {world.acme.mcp_token}")
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")


@both_doors
async def test_an_expired_and_a_revoked_token_are_refused(
    app: App, world: World, seller: Seller, path: str, body: dict[str, Any]
) -> None:
    with app.open_store().writing() as session:
        row = session.exec(select(ApiTokenRow).where(ApiTokenRow.sha256 == tokens.digest(seller.token))).one()
        row.expires_at = app.clock() - timedelta(seconds=1)
        token_id = row.id
    assert (await seller.post(path, body)).json()["error"] == "token_expired"
    await operate(app, "revoke_token", {"tokenId": token_id})
    assert (await seller.post(path, body)).json()["error"] == "token_revoked"


@both_doors
async def test_a_token_that_only_reads_tells_nothing_and_the_attempt_is_noted(
    app: App, world: World, seller: Seller, path: str, body: dict[str, Any]
) -> None:
    made = await operate(
        app, "create_token", {"organization": "acme", "kind": "LIVE", "name": "reader", "scope": "read"}
    )
    before, lines = contents(app), lines_of(app, world)
    answer = await seller.post(path, body, authorization=f"Bearer {made['token']}")
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    action = "sale.recorded" if path == SALE else "lead.recorded"
    assert lines_of(app, world)[len(lines) :] == [(action, "forbidden")]
    assert contents(app) == before


@both_doors
async def test_each_call_leaves_one_line(
    app: App, world: World, seller: Seller, path: str, body: dict[str, Any]
) -> None:
    action = "sale.recorded" if path == SALE else "lead.recorded"
    for expected in ("ok", "ok"):
        lines = lines_of(app, world)
        await seller.post(path, body)
        assert lines_of(app, world)[len(lines) :] == [(action, expected)]
    lines = lines_of(app, world)
    assert (await seller.post(path, body | {"affiliateSlug": "nobody"})).status_code == 404
    assert lines_of(app, world)[len(lines) :] == [(action, "not_found")]


@both_doors
async def test_a_trial_is_enough_and_no_subscription_is_not(
    app: App, world: World, seller: Seller, path: str, body: dict[str, Any]
) -> None:
    standing: dict[str, Any] = {"organization": "acme", "plan": "Starter"}
    await operate(app, "update_organization", standing | {"status": "None"})
    refused = await seller.post(path, body)
    assert (refused.status_code, refused.json()["error"]) == (402, "plan_tier_required")
    await operate(app, "update_organization", standing | {"status": "Trialing"})
    assert (await seller.post(path, body)).json()["ok"]


@both_doors
@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        "t=1,sig=",
        "t=1",
        "sig=00",
        f"t=now,sig={'0' * 64}",
        f"t=1,v1={'0' * 64}",
        f"t=-1,sig={'0' * 64}",
    ],
)
async def test_a_call_that_is_not_signed_says_how_to_sign(
    app: App, world: World, seller: Seller, path: str, body: dict[str, Any], header: str
) -> None:
    before = contents(app)
    answer = await seller.post(path, body, x_rekomi_signature=header)
    assert (answer.status_code, answer.json()["error"]) == (401, "signature_required")
    assert "X-Rekomi-Signature: t=<unix>,sig=<hex>" in answer.json()["message"]
    assert contents(app) == before


@both_doors
@pytest.mark.parametrize("off", [-301, 310, -100_000, 2_000_000_000])
async def test_a_call_of_another_time_says_how_far_the_clock_is_off(
    app: App, world: World, seller: Seller, path: str, body: dict[str, Any], off: int
) -> None:
    answer = await seller.post(path, body, at=now() + off)
    assert (answer.status_code, answer.json()["error"]) == (401, "signature_stale")
    assert abs(answer.json()["differenceSeconds"] + off) <= 9
    assert told(app) == []


@both_doors
async def test_a_time_in_milliseconds_is_told_to_be_in_seconds(
    app: App, world: World, seller: Seller, path: str, body: dict[str, Any]
) -> None:
    answer = await seller.post(path, body, at=now() * 1000)
    assert (answer.status_code, answer.json()["error"]) == (401, "signature_required")
    assert "t is the time of signing in Unix seconds" in answer.json()["message"]
    assert told(app) == []


@pytest.mark.parametrize("off", [-295, 295])
async def test_within_five_minutes_a_call_is_of_now(seller: Seller, off: int) -> None:
    assert (await seller.post(SALE, PURCHASE, at=now() + off)).status_code == 200


async def test_the_first_thing_an_organization_without_a_secret_hears_is_how_to_make_one(
    client: httpx.AsyncClient, world: World
) -> None:
    answer = await Seller(client, world.acme.live_token, "rks_made_up").post(SALE, PURCHASE)
    assert (answer.status_code, answer.json()["error"]) == (401, "no_signing_secret")
    assert "rekomi-mcp secret create" in answer.json()["message"]


async def test_two_secrets_hold_while_one_takes_the_others_place(app: App, world: World, seller: Seller) -> None:
    old = (await operate(app, "list_signing_secrets", {"organization": "acme"}))["items"][0]["id"]
    fresh = Seller(seller.client, seller.token, (await new_secret(app))["secret"])
    assert (await seller.post(SALE, PURCHASE)).status_code == 200
    assert (await fresh.post(SALE, PURCHASE)).status_code == 200
    await operate(app, "revoke_signing_secret", {"secretId": old})
    assert (await seller.post(SALE, PURCHASE)).json()["error"] == "signature_mismatch"
    assert (await fresh.post(SALE, PURCHASE)).status_code == 200


async def test_a_neighbours_secret_signs_nothing_here(app: App, world: World, seller: Seller) -> None:
    theirs = Seller(seller.client, seller.token, (await new_secret(app, "neighbour"))["secret"])
    assert (await theirs.post(SALE, PURCHASE)).json()["error"] == "signature_mismatch"


async def test_a_secret_that_was_sealed_with_another_key_says_so(app: App, world: World, seller: Seller) -> None:
    with app.open_store().writing() as session:
        row = session.exec(select(SigningSecretRow)).one()
        row.sealed = "v1.AAAA"
    answer = await seller.post(SALE, PURCHASE)
    assert (answer.status_code, answer.json()["error"]) == (401, "no_signing_secret")
    assert "REKOMI_SECRET_KEY" in answer.json()["message"]


UNUSUAL = [
    b'{"externalEventId":"caf\xc3\xa9 \xe2\x98\x95","affiliateSlug":"sarah-lee","amountCents":9900}',
    b'{"externalEventId":"caf\\u00e9","affiliateSlug":"sarah-lee","amountCents":9900}',
    b'\n {\r\n\t"affiliateSlug" :  "sarah-lee", "amountCents":9900, "externalEventId":"a"} \n\n',
]


@pytest.mark.parametrize("body", UNUSUAL, ids=["unicode", "escapes", "whitespace"])
async def test_what_is_signed_are_the_bytes_as_they_came(app: App, world: World, seller: Seller, body: bytes) -> None:
    assert (await seller.post(SALE, body)).status_code == 200
    [sale] = told(app)
    assert sale.source_id == json.loads(body)["externalEventId"]


@pytest.mark.parametrize("body", UNUSUAL, ids=["unicode", "escapes", "whitespace"])
async def test_the_same_meaning_in_other_bytes_is_not_what_was_signed(
    app: App, world: World, seller: Seller, body: bytes
) -> None:
    unix, other = now(), json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=True).encode() + b" "
    header = f"t={unix},sig={mac(seller.secret, b'%d.' % unix + body)}"
    assert (await seller.post(SALE, other, x_rekomi_signature=header)).json()["error"] == "signature_mismatch"
    assert told(app) == []


async def test_the_time_is_signed_with_the_body(app: App, world: World, seller: Seller) -> None:
    body = json.dumps(PURCHASE).encode()
    signed_then = mac(seller.secret, b"%d." % (now() - 1000) + body)
    answer = await seller.post(SALE, body, x_rekomi_signature=f"t={now()},sig={signed_then}")
    assert answer.json()["error"] == "signature_mismatch"


async def test_hex_may_be_written_large(app: App, world: World, seller: Seller) -> None:
    body, unix = json.dumps(PURCHASE).encode(), now()
    written = mac(seller.secret, b"%d." % unix + body).upper()
    assert (await seller.post(SALE, body, x_rekomi_signature=f"t={unix}, sig={written}")).status_code == 200


@both_doors
@pytest.mark.parametrize("body_sent", [b"", b"[]", b"{", b'{"a":1,"a":2}', b"\xff\xfe", b"null", b"amountCents=1"])
async def test_a_signed_body_that_is_no_object_is_refused_and_noted(
    app: App, world: World, seller: Seller, path: str, body: dict[str, Any], body_sent: bytes
) -> None:
    before, lines = contents(app), lines_of(app, world)
    answer = await seller.post(path, body_sent)
    assert (answer.status_code, answer.json()["error"]) == (400, "validation_failed")
    assert [outcome for _, outcome in lines_of(app, world)[len(lines) :]] == ["validation_failed"]
    assert contents(app) == before


@both_doors
async def test_a_body_that_is_too_large_is_not_read(
    app: App, world: World, seller: Seller, path: str, body: dict[str, Any]
) -> None:
    answer = await seller.post(path, body | {"name": "x" * MAX_SIGNED_BYTES})
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amountCents": 0}, "amountCents"),
        ({"amountCents": -1}, "amountCents"),
        ({"amountCents": 10**12}, "amountCents"),
        ({"amountCents": 49.9}, "amountCents"),
        ({"amountCents": True}, "amountCents"),
        ({"amountCents": None}, "amountCents"),
        ({"currency": "dollar"}, "currency"),
        ({"currency": None}, "currency"),
        ({"externalEventId": ""}, "externalEventId"),
        ({"externalEventId": "a\u202eb"}, "externalEventId"),
        ({"affiliateSlug": 5}, "affiliateSlug"),
        ({"code": "SARAH20"}, "affiliateId"),
        ({"affiliate": "sarah-lee"}, "affiliate"),
        ({"grossAmountCents": 9899}, "grossAmountCents"),
        ({"occurredAt": "2999-01-01"}, "occurredAt"),
        ({"customerEmail": "nonsense"}, "customerEmail"),
    ],
    ids=str,
)
async def test_a_field_that_is_wrong_is_named(
    app: App, world: World, seller: Seller, change: dict[str, Any], field: str
) -> None:
    answer = await seller.post(SALE, PURCHASE | change)
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert told(app) == []


async def test_a_signup_that_cannot_be_theirs_names_the_argument_that_named_them(
    app: App, world: World, seller: Seller
) -> None:
    system = System(world.acme.id)
    await operate(app, "update_affiliate", {"affiliateId": world.acme.affiliate, "status": "Paused"}, system)
    answer = await seller.post(LEAD, SIGNUP)
    assert (answer.json()["error"], answer.json()["field"]) == ("affiliate_not_approved", "affiliateSlug")
    await operate(app, "update_affiliate", {"affiliateId": world.acme.affiliate, "status": "Approved"}, system)
    await operate(app, "archive_program", {"programId": world.acme.program}, system)
    by_code = {"email": "new@example.com", "code": "SARAH20"}
    for named, field in ((SIGNUP, "affiliateSlug"), (by_code, "code")):
        answer = await seller.post(LEAD, named)
        assert (answer.json()["error"], answer.json()["field"]) == ("program_archived", field)


async def test_a_neighbours_slug_is_no_slug_here(app: App, world: World, seller: Seller) -> None:
    shown = await operate(app, "get_affiliate", {"affiliateId": world.neighbour.affiliate}, System(world.neighbour.id))
    foreign = await seller.post(SALE, PURCHASE | {"affiliateSlug": shown["links"][0]["slug"]})
    nonsense = await seller.post(SALE, PURCHASE | {"affiliateSlug": "nonsense"})
    assert foreign.status_code == 404
    assert foreign.json() == nonsense.json()
    assert told(app) == []


@pytest.mark.parametrize("change", [{"amountCents": 9901}, {"currency": "EUR"}, {"grossAmountCents": 10_000}], ids=str)
async def test_one_id_for_two_sales_is_a_conflict(
    app: App, world: World, seller: Seller, change: dict[str, Any]
) -> None:
    await seller.post(SALE, PURCHASE)
    before = contents(app)
    answer = await seller.post(SALE, PURCHASE | change)
    assert (answer.status_code, answer.json()["error"]) == (409, "idempotency_conflict")
    assert contents(app) == before


async def test_a_sale_that_earns_nobody_anything_says_why(app: App, world: World, seller: Seller) -> None:
    system = System(world.acme.id)
    await operate(app, "update_affiliate", {"affiliateId": world.acme.affiliate, "status": "Paused"}, system)
    answer = (await seller.post(SALE, PURCHASE)).json()
    assert (answer["conversionId"], answer["outcome"]) == (None, "affiliate_paused")
    assert "paused" in answer["explanation"]


async def test_one_sale_told_by_many_at_once_is_one_sale(app: App, world: World, seller: Seller) -> None:
    answers: list[dict[str, Any]] = []

    async def tell() -> None:
        answers.append((await seller.post(SALE, PURCHASE)).json())

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(tell)
    assert sorted(answer.get("deduped", False) for answer in answers) == [False] + [True] * 7
    assert len(told(app)) == 1


@pytest.mark.parametrize("settings", [{"read_only": True}], indirect=True)
async def test_a_server_that_only_reads_has_no_such_doors(app: App, world: World, settings: Settings) -> None:
    transport = httpx.ASGITransport(build_http_app(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8321") as client:
        seller = Seller(client, world.acme.live_token, (await new_secret(app))["secret"])
        for path, body in ((SALE, PURCHASE), (LEAD, SIGNUP), ("/postback", {})):
            assert (await seller.post(path, body)).status_code == 404
        described = (await client.get("/openapi.json")).json()["paths"]
    assert not {SALE, LEAD, "/postback"} & set(described)
