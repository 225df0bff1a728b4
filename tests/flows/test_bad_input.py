"""What callers get wrong: each mistake has its code, its field, and a message that helps; nothing changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import pytest
from sqlmodel import Session
from starlette.applications import Starlette

from rekomi_mcp.app import App
from rekomi_mcp.storage.tables import AffiliateRow, CampaignCouponRow, ProgramRow
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.transports.http import EXCEPTION_HANDLERS, build_routes
from tests.flows.mistakes.codes import CODES
from tests.flows.mistakes.people import PEOPLE
from tests.flows.mistakes.values import VALUES
from tests.support.callers import http_caller, mcp_caller
from tests.support.contents import audit_lines, contents
from tests.support.mistakes import Mistake, Scene
from tests.support.world import World

pytestmark = pytest.mark.anyio
R = TypeVar("R", AffiliateRow, CampaignCouponRow, ProgramRow)


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


MISTAKES = [*CODES, *VALUES, *PEOPLE]


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
