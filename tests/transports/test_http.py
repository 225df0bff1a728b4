"""The HTTP facade: statuses, headers and the error envelope, whatever happens behind it."""

from __future__ import annotations

import logging
import re
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.routing import Route

import rekomi_mcp.storage as storage
from rekomi_mcp import __version__
from rekomi_mcp.app import App
from rekomi_mcp.operation import AnyOperation
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.tools.fields import ListInput
from tests.support.callers import fill_path
from tests.support.contents import audit_lines, contents
from tests.support.world import Brand, World, operate

pytestmark = pytest.mark.anyio

PROGRAMS = "/api/v1/programs"
QUOTA = {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}
TERMS = {"name": "Holiday", "defaultCommissionType": "Percentage", "defaultCommissionValue": 30}

LISTS = [operation for operation in CATALOGUE.exposed() if issubclass(operation.input, ListInput)]
ALIASES = [(o, alias) for o in CATALOGUE.exposed() if o.route is not None for alias in o.route.aliases]


def ids_in_paths(brand: Brand) -> dict[str, str]:
    return {
        "programId": brand.program,
        "affiliateId": brand.affiliate,
        "couponId": brand.coupon,
        "codeId": brand.code,
        "conversionId": brand.conversion,
    }


def path_of(path: str, brand: Brand) -> str:
    return fill_path(path, ids_in_paths(brand))[0]


def envelope(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an error, which has the documented form."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert set(body) >= {"error", "message"}
    assert body["message"].endswith(".")
    return answer.status_code, body["error"]


async def test_a_path_that_does_not_exist_is_a_404_in_the_envelope(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/nowhere")
    assert envelope(answer) == (404, "not_found")
    assert "/openapi.json" in answer.json()["message"]


async def test_a_method_a_path_does_not_take_is_a_405_that_names_those_it_takes(script: httpx.AsyncClient) -> None:
    answer = await script.put(PROGRAMS)
    assert envelope(answer) == (405, "method_not_allowed")
    assert {"GET", "POST"} <= {method.strip() for method in answer.headers["allow"].split(",")}
    assert "GET" in answer.json()["message"]
    assert "POST" in answer.json()["message"]


@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
async def test_a_crash_is_a_500_that_tells_nothing_of_the_inside(
    app: App, script: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, write: bool
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("password=hunter2 at /srv/rekomi/secret.py")

    before, lines = contents(app), audit_lines(app)
    monkeypatch.setattr(storage.programs, "page", crash)
    monkeypatch.setattr(storage.audit, "append", crash)
    with caplog.at_level(logging.ERROR):
        answer = await (script.post(PROGRAMS, json=TERMS) if write else script.get(PROGRAMS))
    monkeypatch.undo()
    assert envelope(answer) == (500, "internal_error")
    assert answer.json().keys() == {"error", "message"}
    for inside in ("hunter2", "secret.py", "RuntimeError", "Traceback"):
        assert inside not in answer.text
    assert "hunter2" in caplog.text, "the log says what happened"
    assert (contents(app), audit_lines(app)) == (before, lines)


@pytest.mark.parametrize(
    "header",
    [None, "Bearer", "Bearer ", "Basic cmVrb21pOg==", "Bearer nonsense", "Bearer rk_live_nonsense", "mcp"],
    ids=["none", "no-token", "blank", "basic", "no-prefix", "unknown", "mcp-token"],
)
async def test_a_caller_without_a_good_token_is_challenged(
    client: httpx.AsyncClient, world: World, header: str | None
) -> None:
    given = f"Bearer {world.acme.mcp_token}" if header == "mcp" else header
    answer = await client.get(PROGRAMS, headers={"authorization": given} if given is not None else {})
    assert envelope(answer) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert "rk_live_" in answer.json()["message"] or "token create" in answer.json()["message"]
    assert not QUOTA & answer.headers.keys()


async def test_the_scheme_of_a_token_may_be_written_in_any_case(client: httpx.AsyncClient, world: World) -> None:
    answer = await client.get(PROGRAMS, headers={"authorization": f"bearer  {world.acme.live_token} "})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "header", [{}, {"authorization": "Bearer rk_live_nonsense"}], ids=["no-token", "unknown-token"]
)
async def test_a_caller_is_identified_before_the_body_is_looked_at(
    client: httpx.AsyncClient, header: dict[str, str]
) -> None:
    answer = await client.post(PROGRAMS, content=b"not JSON", headers=header)
    assert envelope(answer) == (401, "unauthorized")


async def test_a_repeated_key_is_answered_again_and_says_so(app: App, script: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "friday"}
    first = await script.post(PROGRAMS, json=TERMS, headers=headers)
    again = await script.post(PROGRAMS, json=TERMS, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    other = await script.post(PROGRAMS, json=TERMS | {"name": "Other"}, headers=headers)
    assert envelope(other) == (409, "idempotency_conflict")

    path = f"{PROGRAMS}/{first.json()['id']}"
    ended = [await script.delete(path, headers=headers) for _ in range(2)]
    assert [(answer.status_code, answer.content) for answer in ended] == [(204, b"")] * 2
    assert ended[1].headers["idempotency-replayed"] == "true"


async def test_a_key_on_a_read_means_nothing(script: httpx.AsyncClient) -> None:
    answers = [await script.get(PROGRAMS, params={"take": take}, headers={"idempotency-key": "k"}) for take in (1, 2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert "idempotency-replayed" not in answers[1].headers


async def test_every_answer_to_a_known_caller_says_what_is_left_of_the_limit(
    app: App, script: httpx.AsyncClient, world: World
) -> None:
    await operate(app, "update_organization", {"organization": "acme", "plan": "Starter"})
    program = f"{PROGRAMS}/{world.acme.program}"
    answers = [
        await script.get(PROGRAMS),
        await script.post(PROGRAMS, json=TERMS),
        await script.get(PROGRAMS, params={"take": 0}),
        await script.get(f"{PROGRAMS}/nonsense"),
        await script.get(f"{program}/coupons"),
        await script.patch(program, json={}),
        await script.delete(program),
        await script.delete(program),
    ]
    assert [answer.status_code for answer in answers] == [200, 201, 400, 404, 402, 400, 204, 409]
    assert all(answer.headers.keys() >= QUOTA for answer in answers)
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"600"}
    assert [int(answer.headers["x-ratelimit-remaining"]) for answer in answers] == list(range(599, 591, -1))
    assert all(0 < int(answer.headers["x-ratelimit-reset"]) <= 60 for answer in answers)


async def test_a_body_that_is_no_good_counts_against_the_limit_too(script: httpx.AsyncClient) -> None:
    answer = await script.post(PROGRAMS, content=b"not JSON")
    assert envelope(answer) == (400, "validation_failed")
    assert answer.headers.keys() >= QUOTA


@pytest.mark.usefixtures("still_minute")
@pytest.mark.parametrize("settings", [{"rate_limit_per_minute": 3}], indirect=True)
async def test_a_caller_past_the_limit_waits_and_does_not_fill_the_audit_log(
    app: App, script: httpx.AsyncClient, client: httpx.AsyncClient, world: World
) -> None:
    for left in (2, 1, 0):
        answer = await script.get(PROGRAMS)
        assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (200, str(left))
    before, lines = contents(app), audit_lines(app)
    for refused in (await script.get(PROGRAMS), await script.post(PROGRAMS, json=TERMS)):
        assert envelope(refused) == (429, "rate_limited")
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert refused.json()["retryAfterSeconds"] == int(refused.headers["retry-after"])
        assert refused.headers["x-ratelimit-remaining"] == "0"
    assert (contents(app), audit_lines(app)) == (before, lines)
    other = await client.get(PROGRAMS, headers={"authorization": f"Bearer {world.neighbour.live_token}"})
    assert other.status_code == 200, "the limit is a token's own"


@pytest.mark.parametrize("operation", LISTS, ids=lambda operation: operation.name)
async def test_the_pages_of_a_list_make_up_the_whole_list(
    script: httpx.AsyncClient, world: World, operation: AnyOperation
) -> None:
    assert operation.route is not None
    for number in range(3):
        email = {"email": f"{number}@example.com", "affiliateId": world.acme.affiliate}
        assert (await script.post("/api/v1/leads", json=email)).status_code == 201
        assert (await script.post(PROGRAMS, json=TERMS | {"name": f"P {number}"})).status_code == 201
    path = path_of(operation.route.path, world.acme)
    whole = (await script.get(path, params={"take": 200})).json()
    assert (whole["hasMore"], whole["nextCursor"]) == (False, None)
    items: list[Any] = []
    cursor: str | None = None
    for _ in range(len(whole["items"])):
        page = (await script.get(path, params={"take": 1} | ({"cursor": cursor} if cursor else {}))).json()
        assert len(page["items"]) == 1
        items += page["items"]
        cursor = page["nextCursor"]
        assert page["hasMore"] is (cursor is not None)
    assert (items, cursor) == (whole["items"], None)


async def test_a_list_goes_on_where_it_was_while_new_rows_arrive(script: httpx.AsyncClient) -> None:
    for number in range(3):
        await script.post("/api/v1/affiliates", json={"email": f"{number}@example.com"})
    first = (await script.get("/api/v1/affiliates", params={"take": 2})).json()
    await script.post("/api/v1/affiliates", json={"email": "new@example.com"})
    rest = (await script.get("/api/v1/affiliates", params={"cursor": first["nextCursor"]})).json()
    emails = [affiliate["email"] for affiliate in first["items"] + rest["items"]]
    assert emails == ["2@example.com", "1@example.com", "0@example.com", "bob@example.com", "sarah@example.com"]


@pytest.mark.parametrize(("operation", "alias"), ALIASES, ids=[alias for _, alias in ALIASES])
async def test_an_alias_answers_the_same(
    script: httpx.AsyncClient, world: World, operation: AnyOperation, alias: str
) -> None:
    assert operation.route is not None
    method, arguments = operation.route.method, ids_in_paths(world.acme)
    taken = {name: arguments[name] for name in operation.input.model_json_schema()["properties"] if name in arguments}

    async def ask(path: str, wrong: dict[str, Any]) -> tuple[int, Any]:
        filled, rest = fill_path(path, taken)
        carried: dict[str, Any] = {"params": rest | wrong} if method in ("GET", "DELETE") else {"json": rest | wrong}
        answer = await script.request(method, filled, **carried)
        return answer.status_code, answer.json()

    mistaken = await ask(alias, {"detial": "x"})
    assert mistaken == await ask(operation.route.path, {"detial": "x"})
    assert mistaken[0] == 400
    if method == "GET":
        answered = await ask(alias, {})
        assert answered == await ask(operation.route.path, {})
        assert answered[0] == 200


async def test_each_status_is_the_documented_one(script: httpx.AsyncClient, world: World) -> None:
    """A program's life over HTTP, Stripe and all."""
    program = (await script.post(PROGRAMS, json=TERMS)).json()
    at = f"{PROGRAMS}/{program['id']}"
    affiliate = await script.post("/api/v1/affiliates", json={"programId": program["id"], "email": "kim@example.com"})
    coupon = await script.post(f"/api/campaigns/{program['id']}/coupons", json={"name": "Summer", "discountValue": 15})
    codes = f"/api/affiliates/{affiliate.json()['id']}/coupons"
    code = await script.post(codes, json={"code": "KIM15", "couponId": coupon.json()["id"]})
    answers = [
        affiliate,
        coupon,
        code,
        await script.patch(at, json={"name": "Renamed"}),
        await script.post("/api/v1/payouts/preview", json={}),
        await script.post("/api/v1/payouts/preview"),
        await script.get(codes),
        await script.delete(f"{codes}/{code.json()['id']}"),
        await script.delete(f"{at}/coupons/{coupon.json()['id']}"),
        await script.delete(at),
        await script.delete(at),
    ]
    assert [a.status_code for a in answers] == [201, 201, 201, 200, 200, 200, 200, 204, 204, 204, 409]
    assert [a.content for a in answers if a.status_code == 204] == [b""] * 3
    assert code.json()["status"] == "Active"
    assert code.json()["stripeMode"] == "sandbox"


async def test_a_query_parameter_given_twice_is_refused(script: httpx.AsyncClient) -> None:
    answer = await script.get(f"{PROGRAMS}?take=1&take=2")
    assert envelope(answer) == (400, "validation_failed")


async def test_a_query_that_contradicts_the_path_is_refused(script: httpx.AsyncClient, world: World) -> None:
    answer = await script.get(f"{PROGRAMS}/{world.acme.program}?programId=other")
    assert envelope(answer) == (400, "validation_failed")
    assert answer.json()["field"] == "programId"


async def test_the_openapi_description_is_valid(client: httpx.AsyncClient) -> None:
    described = (await client.get("/openapi.json")).json()
    assert list(OpenAPIV31SpecValidator(described).iter_errors()) == []
    assert described["info"]["version"] == __version__
    assert "sandbox" in described["info"]["title"]


async def test_the_openapi_description_covers_every_operation(facade: Starlette, client: httpx.AsyncClient) -> None:
    described = (await client.get("/openapi.json")).json()["paths"]
    served = {(route.path, m) for route, m in routes_of(facade) if route.path.startswith("/api/")}
    assert served == {(path, m.upper()) for path, methods in described.items() for m in methods if path[:5] == "/api/"}
    names = [described[path][method.lower()]["operationId"] for path, method in sorted(served)]
    assert len(set(names)) == len(names)
    assert {operation.name for operation in CATALOGUE.exposed()} <= set(names)


async def test_the_openapi_description_links_an_answer_to_what_its_id_is_for(client: httpx.AsyncClient) -> None:
    """Where a link leads exists and is given what its path needs; each id that a path needs is in some answer."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    operations = {o["operationId"]: (path, o) for path, methods in paths.items() for o in methods.values()}
    needed = {operation.name for operation in CATALOGUE.exposed() if operation.route and "{" in operation.route.path}
    links = [
        (path, link)
        for path, operation in operations.values()
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert {link["operationId"] for _, link in links} >= needed
    for path, link in links:
        target, described = operations[link["operationId"]]
        in_path = set(re.findall(r"{(\w+)}", target))
        if in_path:
            assert target.startswith(path)
            assert set(link["parameters"]) == in_path
        else:
            assert set(link["parameters"]) <= {parameter["name"] for parameter in described["parameters"]}


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/healthz", "get"),
        ("/webhooks/stripe", "post"),
        ("/api/tracking/s2s", "post"),
        ("/api/tracking/lead", "post"),
        ("/postback", "get"),
        ("/postback", "post"),
    ],
)
async def test_the_openapi_description_covers_the_servers_own_routes(
    client: httpx.AsyncClient, path: str, method: str
) -> None:
    described = (await client.get("/openapi.json")).json()["paths"]
    assert described[path][method]["operationId"]


async def test_no_route_is_left_out_of_these_tests(facade: Starlette) -> None:
    others = {route.path for route, _ in routes_of(facade) if not route.path.startswith("/api/")}
    links = {"/r/{slug}", "/r/{slug}/"}
    assert others == {"/mcp", "/openapi.json", "/healthz", "/webhooks/stripe", "/postback", *links}


def routes_of(facade: Starlette) -> list[tuple[Route, str]]:
    """Every route with each of its methods; HEAD comes with GET."""
    routes = [route for route in facade.routes if isinstance(route, Route)]
    assert len(routes) == len(facade.routes)
    return [(route, method) for route in routes for method in (route.methods or {"ANY"}) - {"HEAD"}]


async def test_a_healthy_server_says_so_without_being_asked_for_a_token(client: httpx.AsyncClient) -> None:
    answer = await client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "version": __version__, "stripeMode": "sandbox"}


async def test_a_server_whose_database_is_away_is_not_healthy(
    app: App, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> None:
        raise ConnectionError("postgres://rekomi:hunter2@db is away")

    monkeypatch.setattr(app, "open_store", away)
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (503, "database_unavailable")
    assert "hunter2" not in answer.text
    assert "the database does not answer" in caplog.text


@pytest.mark.parametrize("path", ["/healthz", "/openapi.json", PROGRAMS])
async def test_head_answers_as_get_does_without_the_body(script: httpx.AsyncClient, path: str) -> None:
    head, get = await script.head(path), await script.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert (await script.head("/api/v1/nowhere")).status_code == 404


async def test_head_needs_a_token_as_get_does(client: httpx.AsyncClient) -> None:
    assert (await client.head(PROGRAMS)).status_code == 401
