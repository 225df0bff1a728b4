"""What opens, repeats or continues something opens nothing of another organization's, and nothing at the other door."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from mcp_types.version import LATEST_HANDSHAKE_VERSION
from sqlmodel import col, update

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.operation import AnyOperation
from rekomi_mcp.storage.tables import ApiTokenRow
from rekomi_mcp.tools import CATALOGUE
from tests.security.conftest import Scene
from tests.support.contents import audit_lines, contents
from tests.support.doors import DOORS, MCP_HEADERS, doors_of, key_to
from tests.support.world import Brand, World, operate
from tests.test_every_operation import GOOD, good

pytestmark = pytest.mark.anyio

EXPOSED = list(CATALOGUE.exposed())
LISTS = {o.name: o for o in EXPOSED if "cursor" in o.input.model_json_schema()["properties"]}
BY_NAME = {o.name: o for o in EXPOSED}
on_sqlite = pytest.mark.parametrize("stored", ["sqlite"], indirect=True)


async def new_token(app: App, door: str, brand: Brand, **wanted: Any) -> tuple[str, str]:
    """A token of the door's kind, and its id."""
    kind = "LIVE" if door == "http" else "MCP"
    made = await operate(app, "create_token", {"organization": brand.slug, "kind": kind, "name": "test", **wanted})
    return made["token"], made["id"]


@on_sqlite
@pytest.mark.parametrize("door", DOORS)
async def test_no_bad_token_opens_any_operation_and_none_leaves_a_trace(scene: Scene, door: str) -> None:
    app, acme, neighbour = scene.app, scene.world.acme, scene.world.neighbour
    expired, expired_id = await new_token(app, door, acme)
    revoked, revoked_id = await new_token(app, door, acme)
    with app.open_store().writing() as session:
        past = {"expires_at": app.clock()}
        session.exec(update(ApiTokenRow).where(col(ApiTokenRow.id) == expired_id).values(**past))
    await operate(app, "revoke_token", {"tokenId": revoked_id})
    own = key_to(door, acme)
    prefix = own[: own.index("_", 3) + 1]
    bad = {
        own[:-1]: "unauthorized",
        own + "A": "unauthorized",
        own.swapcase(): "unauthorized",
        prefix: "unauthorized",
        key_to("mcp" if door == "http" else "http", acme): "unauthorized",
        own.replace(prefix, "rk_mcp_" if door == "http" else "rk_live_"): "unauthorized",
        own.removeprefix(prefix): "unauthorized",
        acme.id: "unauthorized",
        f"{prefix}{acme.id}": "unauthorized",
        expired: "token_expired",
        revoked: "token_revoked",
    }
    before, lines = contents(app), audit_lines(app)
    for operation in EXPOSED:
        for token, code in bad.items():
            reply = await scene.doors.call(door, operation, GOOD[operation.name](neighbour), token)
            assert reply.code == code, operation.name
    assert (contents(app), audit_lines(app)) == (before, lines)


@on_sqlite
@pytest.mark.parametrize("door", DOORS)
async def test_a_token_dies_at_its_very_second(scene: Scene, door: str) -> None:
    token, token_id = await new_token(scene.app, door, scene.world.acme)
    for ends, code in ((timedelta(minutes=1), "ok"), (timedelta(0), "token_expired")):
        with scene.app.open_store().writing() as session:
            at = {"expires_at": scene.app.clock() + ends}
            session.exec(update(ApiTokenRow).where(col(ApiTokenRow.id) == token_id).values(**at))
        assert (await scene.doors.call(door, BY_NAME["whoami"], {}, token)).code == code


@pytest.mark.parametrize("operation", [o for o in EXPOSED if not o.reads], ids=lambda o: o.name)
@pytest.mark.parametrize("door", DOORS)
async def test_two_organizations_may_use_one_idempotency_key(
    app: App, world: World, door: str, operation: AnyOperation
) -> None:
    """Each has its own answer: the second is neither a repetition of the first nor a conflict with it."""
    async with doors_of(app) as doors:
        replies: list[dict[str, Any] | None] = []
        for brand in (world.acme, world.neighbour):
            if brand is world.neighbour:
                # The world's neighbour has a connected account, which the sandbox would first have to know.
                await operate(app, "update_organization", {"organization": "acme", "stripeAccount": "none"})
                await operate(app, "update_organization", {"organization": brand.slug, "stripeAccount": "self"})
            arguments = await good(app, operation, brand)
            if "code" in arguments:  # both use the sandbox's own account, where a text is taken once
                arguments["code"] = f"NEW-{brand.slug}"
            first = await doors.call(door, operation, arguments, key_to(door, brand), key="friday")
            again = await doors.call(door, operation, arguments, key_to(door, brand), key="friday")
            assert (first.code, first.replayed) == ("ok", False), first.body
            assert (again.code, again.body) == ("ok", first.body)
            replies.append(first.body)
        first_body, second_body = replies
        # A refund that waits for its sale has only the caller's own id.
        for name in ("id", "conversionId"):
            if first_body is not None and first_body.get(name) is not None:
                assert first_body[name] != (second_body or {})[name]


async def pages_of(app: App, brand: Brand) -> dict[str, str]:
    """A cursor of each list of the brand's, which has two of everything."""
    system = System(brand.id)
    terms = {"defaultCommissionType": "Percentage", "defaultCommissionValue": 5}
    await operate(app, "create_program", {"name": f"Second of {brand.slug}", **terms}, system)
    await operate(app, "record_lead", {"email": "second@example.com", "affiliateId": brand.affiliate}, system)
    cursors: dict[str, str] = {}
    for name in ("list_programs", "list_affiliates", "list_leads", "list_audit_log"):
        page = await operate(app, name, {"take": 1}, system)
        cursors[name] = page["nextCursor"]
    return cursors


@pytest.mark.parametrize("door", DOORS)
async def test_a_cursor_opens_only_the_list_it_was_given_for(app: App, world: World, door: str) -> None:
    acme = world.acme
    cursors = await pages_of(app, acme)
    async with doors_of(app) as doors:
        for listed, operation in LISTS.items():
            for origin, cursor in cursors.items():
                named = {n: v for n, v in GOOD[listed](acme).items() if n in ("programId", "affiliateId")}
                reply = await doors.call(door, operation, named | {"cursor": cursor}, key_to(door, acme))
                assert reply.code == ("ok" if listed == origin else "validation_failed"), (listed, origin)
                assert listed == origin or (reply.body or {})["field"] == "cursor"


@pytest.mark.parametrize("door", DOORS)
async def test_another_organizations_cursor_shows_nothing_of_theirs(app: App, world: World, door: str) -> None:
    """A cursor is a place in an order, not a key: with it Acme walks on through Acme's own rows."""
    acme, neighbour = world.acme, world.neighbour
    theirs = await pages_of(app, neighbour)
    async with doors_of(app) as doors:
        for name, cursor in theirs.items():
            own = await doors.call(door, LISTS[name], {"take": 200}, key_to(door, acme))
            reply = await doors.call(door, LISTS[name], {"cursor": cursor, "take": 200}, key_to(door, acme))
            assert own.body is not None
            assert reply.body is not None
            assert reply.code == "ok"
            assert {row["id"] for row in reply.body["items"]} <= {row["id"] for row in own.body["items"]}


async def test_what_must_be_unique_is_unique_within_one_organization(app: App, world: World) -> None:
    """An id of one's own or a slug that another organization uses is free, and does not tell that it is used there."""
    lead = {"email": "kim@example.com", "externalEventId": "signup-1"}
    for brand in (world.acme, world.neighbour):
        made = await operate(app, "record_lead", lead | {"affiliateId": brand.affiliate}, System(brand.id))
        assert made["deduped"] is False
        program = {"name": "Summer", "slug": "summer", "defaultCommissionType": "Fixed", "defaultCommissionValue": 5}
        assert (await operate(app, "create_program", program, System(brand.id)))["slug"] == "summer"


CONTRADICTIONS = [
    (operation, name)
    for operation in EXPOSED
    if operation.route is not None
    for name in ("programId", "affiliateId", "couponId", "codeId", "conversionId")
    if f"{{{name}}}" in operation.route.path
]


@on_sqlite
@pytest.mark.parametrize(
    ("operation", "name"), [pytest.param(o, name, id=f"{o.name}-{name}") for o, name in CONTRADICTIONS]
)
async def test_a_path_and_a_body_that_name_two_things_are_refused(
    scene: Scene, operation: AnyOperation, name: str
) -> None:
    """Neither decides for itself which of the two was checked."""
    acme, neighbour = scene.world.acme, scene.world.neighbour
    assert operation.route is not None
    in_query = operation.route.method in ("GET", "DELETE")
    before = contents(scene.app)
    headers = {"authorization": f"Bearer {acme.live_token}"}
    for path_of, rest_of in ((acme, neighbour), (neighbour, acme)):
        ids = {n: getattr(path_of, n.removesuffix("Id")) for o, n in CONTRADICTIONS if o is operation}
        other = {name: getattr(rest_of, name.removesuffix("Id"))}
        for path in (operation.route.path, *operation.route.aliases):
            if f"{{{name}}}" not in path:
                continue
            how: dict[str, Any] = {"params": other} if in_query else {"json": other}
            answer = await scene.doors.client.request(
                operation.route.method, path.format(**ids), headers=headers, **how
            )
            assert (answer.status_code, answer.json()["error"]) == (400, "validation_failed")
            assert answer.json()["field"] == name
    assert contents(scene.app) == before


@on_sqlite
async def test_there_is_no_mcp_session_to_take_over(scene: Scene) -> None:
    """Each request stands on its own token; the id of a session is neither given nor asked for."""
    acme, neighbour = scene.world.acme, scene.world.neighbour
    hello = {
        "protocolVersion": LATEST_HANDSHAKE_VERSION,
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    opened = await scene.doors.post(acme.mcp_token, "initialize", hello)
    assert opened.is_success
    assert "mcp-session-id" not in opened.headers
    message = '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whoami","arguments":{}}}'
    for session in ("", "0" * 32, acme.id):
        headers = MCP_HEADERS | {"mcp-session-id": session, "authorization": f"Bearer {neighbour.mcp_token}"}
        answer = await scene.doors.client.post("/mcp", content=message, headers=headers)
        assert answer.json()["result"]["structuredContent"]["organizationId"] == neighbour.id
    for method in ("GET", "DELETE"):  # no stream to hold open, no session to end
        headers = MCP_HEADERS | {"authorization": f"Bearer {acme.mcp_token}", "accept": "text/event-stream"}
        assert (await scene.doors.client.request(method, "/mcp", headers=headers)).status_code == 405
