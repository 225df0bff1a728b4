"""MCP resources, over both transports and in both eras: what is listed, what a read answers, and who may not read what."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any, get_args

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import TextContent, TextResourceContents
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS

import rekomi_mcp.storage as storage
from rekomi_mcp.app import App
from rekomi_mcp.domain.access import System
from rekomi_mcp.tools import CATALOGUE, affiliates, conversions
from rekomi_mcp.tools.resources import MAX_URI_LENGTH, RESOURCES, Resource
from rekomi_mcp.transports import answers
from rekomi_mcp.transports.mcp_context import NOT_FOUND_IN_2025, REFUSED
from tests.support.assistant import WAYS, assistant
from tests.support.contents import audit_lines, contents
from tests.support.world import Brand, World, operate

pytestmark = pytest.mark.anyio

READS = [resource for resource in RESOURCES if resource.operation is not None]
TEMPLATES = [resource for resource in RESOURCES if resource.parameters]
GUIDE = next(resource for resource in RESOURCES if resource.name == "guide")


def of_each(resources: list[Resource]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("resource", resources, ids=lambda resource: resource.name)


@pytest.fixture(params=WAYS, ids="-".join)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture
async def client(app: App, world: World, way: tuple[str, str]) -> AsyncGenerator[Client]:
    """An assistant with Acme's rk_mcp_ token."""
    async with assistant(app, world.acme.mcp_token, *way) as client:
        yield client


def not_found(way: tuple[str, str]) -> int:
    """The code of a resource that is not there, which the eras call differently."""
    return INVALID_PARAMS if way[1] == "auto" else NOT_FOUND_IN_2025


def arguments_of(resource: Resource, brand: Brand) -> dict[str, str]:
    return {name: asdict(brand)[name.removesuffix("Id")] for name in resource.parameters}


def filled(resource: Resource, brand: Brand) -> str:
    """The address of the brand's own."""
    return resource.uri.format(**arguments_of(resource, brand))


async def read(client: Client, uri: str) -> TextResourceContents:
    """The one content of a resource."""
    [content] = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    assert content.uri == uri
    return content


async def refusal(client: Client, uri: str) -> MCPError:
    with pytest.raises(MCPError) as error:
        await client.read_resource(uri)
    return error.value


async def test_every_resource_is_listed_for_people_and_for_machines(client: Client) -> None:
    static = {r.uri: r for r in (await client.list_resources()).resources}
    templates = {t.uri_template: t for t in (await client.list_resource_templates()).resource_templates}
    assert static.keys() == {resource.uri for resource in RESOURCES if not resource.parameters}
    assert templates.keys() == {resource.uri for resource in TEMPLATES}
    for listed in (*static.values(), *templates.values()):
        assert listed.title
        assert listed.description
        assert listed.description.endswith(".")
        assert listed.mime_type == ("text/markdown" if listed.name == "guide" else "application/json")


def test_every_resource_has_a_name_and_an_address_of_its_own() -> None:
    assert (
        len({resource.name for resource in RESOURCES})
        == len({resource.uri for resource in RESOURCES})
        == len(RESOURCES)
    )
    for resource in RESOURCES:
        address = resource.uri.format(**dict.fromkeys(resource.parameters, "x"))
        assert [other for other in RESOURCES if other.arguments(address) is not None] == [resource]


@of_each(READS)
def test_what_stands_in_braces_is_an_argument_of_the_read(resource: Resource) -> None:
    assert resource.operation is not None
    known = {field.alias or name for name, field in resource.operation.input.model_fields.items()}
    assert set(resource.parameters) <= known


@of_each(READS)
async def test_a_resource_is_the_same_compact_json_that_the_tool_answers(
    client: Client, world: World, resource: Resource
) -> None:
    assert resource.operation is not None
    content = await read(client, filled(resource, world.acme))
    called = await client.call_tool(resource.operation.name, arguments_of(resource, world.acme))
    assert not called.is_error
    assert isinstance(called.content[0], TextContent)
    assert content.text == called.content[0].text
    assert content.mime_type == "application/json"


async def test_what_can_change_is_not_to_be_kept_and_the_guide_is(app: App, world: World) -> None:
    async with assistant(app, world.acme.mcp_token) as client:
        profile = await client.read_resource("rekomi://organization")
        guide = await client.read_resource(GUIDE.uri)
    assert (profile.ttl_ms, profile.cache_scope) == (0, "private")
    assert (guide.ttl_ms, guide.cache_scope) == (300_000, "public")


async def test_the_guide_is_short_and_names_only_what_exists(client: Client) -> None:
    text = (await read(client, GUIDE.uri)).text
    assert len(text) < 6000
    named = set(re.findall(r"`(\w+)`", text))
    assert named
    assert named <= {operation.name for operation in CATALOGUE.exposed()}


def test_the_guide_explains_every_status() -> None:
    assert GUIDE.text is not None
    statuses = {*get_args(affiliates.Status), *get_args(conversions.Status)}
    assert {status for status in statuses if status not in GUIDE.text} == set()


@pytest.mark.parametrize(
    "uri",
    [
        "rekomi://nothing",
        "rekomi://programs/",
        "rekomi://programs/a/b",
        "rekomi://organization?name=x",
        "rekomi://affiliates/{affiliateId}/",
        "file:///etc/passwd",
        "../guide",
        "",
    ],
)
async def test_an_address_that_is_none_is_an_error_of_the_protocol(
    client: Client, way: tuple[str, str], uri: str
) -> None:
    error = await refusal(client, uri)
    assert error.code == not_found(way)
    assert "resources/list" in error.message
    assert error.data == {"error": "not_found", "uri": uri}


async def test_an_address_that_is_far_too_long_is_not_repeated(client: Client, way: tuple[str, str]) -> None:
    error = await refusal(client, f"rekomi://affiliates/{'x' * MAX_URI_LENGTH}")
    assert error.code == not_found(way)
    assert error.data == {"error": "not_found"}


@of_each(TEMPLATES)
async def test_what_belongs_to_another_organization_is_not_found(
    client: Client, world: World, way: tuple[str, str], resource: Resource
) -> None:
    """And looks like what never existed."""
    nobodys = resource.uri.format(**dict.fromkeys(resource.parameters, "nobody"))
    foreign = await refusal(client, filled(resource, world.neighbour))
    unknown = await refusal(client, nobodys)
    assert foreign.code == unknown.code == not_found(way)
    assert foreign.message == unknown.message
    assert "Find it with list_" in foreign.message
    assert foreign.data | {"uri": nobodys} == unknown.data


@pytest.mark.parametrize(
    ("given", "wrong"), [("%00", "cannot be stored"), ("x" * 65, "affiliateId"), ("%ff%fe", "Find it")]
)
async def test_an_id_that_can_be_none_is_refused_without_repeating_it(
    client: Client, way: tuple[str, str], given: str, wrong: str
) -> None:
    error = await refusal(client, f"rekomi://affiliates/{given}")
    assert error.code in (INVALID_PARAMS, not_found(way))
    assert wrong in error.message
    assert given not in error.message


async def test_an_address_may_be_percent_encoded(client: Client, world: World) -> None:
    encoded = "".join(f"%{byte:02x}" for byte in world.acme.program.encode())
    content = await read(client, f"rekomi://programs/{encoded}")
    assert json.loads(content.text)["id"] == world.acme.program


async def test_a_plan_that_has_ended_closes_what_it_closes_for_tools(app: App, client: Client) -> None:
    await operate(app, "update_organization", {"organization": "acme", "plan": "Starter", "status": "None"})
    assert json.loads((await read(client, "rekomi://organization")).text)["subscriptionStatus"] == "None"
    error = await refusal(client, "rekomi://programs")
    assert error.code == REFUSED
    assert error.data["error"] == "plan_tier_required"
    assert error.data["uri"] == "rekomi://programs"
    assert "message" not in error.data
    assert error.message.endswith(".")


async def test_a_token_that_was_revoked_reads_nothing_of_the_organization(app: App, world: World) -> None:
    wanted = {"organization": "acme", "kind": "MCP", "name": "old"}
    made = await operate(app, "create_token", wanted)
    async with assistant(app, made["token"]) as client:
        await read(client, "rekomi://organization")
        await operate(app, "revoke_token", {"tokenId": made["id"]})
        error = await refusal(client, "rekomi://organization")
    assert (error.code, error.data["error"]) == (REFUSED, "token_revoked")


async def test_a_token_that_may_only_read_reads_everything(app: App, world: World, way: tuple[str, str]) -> None:
    wanted = {"organization": "acme", "kind": "MCP", "name": "reader", "scope": "read"}
    token = (await operate(app, "create_token", wanted))["token"]
    async with assistant(app, token, *way) as client:
        for resource in RESOURCES:
            assert (await read(client, filled(resource, world.acme))).text


@pytest.mark.usefixtures("still_minute")
@pytest.mark.parametrize("settings", [{"rate_limit_per_minute": 2}], indirect=True)
async def test_a_read_counts_against_the_callers_limit(client: Client) -> None:
    for _ in range(2):
        await read(client, "rekomi://organization")
    error = await refusal(client, "rekomi://organization")
    assert (error.code, error.data["error"]) == (REFUSED, "rate_limited")
    assert 0 < error.data["retryAfterSeconds"] <= 60


async def test_reading_changes_nothing_and_leaves_no_line_in_the_audit_log(
    app: App, client: Client, world: World
) -> None:
    before, lines = contents(app), audit_lines(app)
    for resource in RESOURCES:
        await read(client, filled(resource, world.acme))
        if resource.parameters:
            await refusal(client, filled(resource, world.neighbour))
    assert (contents(app), audit_lines(app)) == (before, lines)


async def test_only_what_the_chosen_toolsets_answer_is_listed_and_read(
    app: App, world: World, way: tuple[str, str]
) -> None:
    chosen = App(app.settings.model_copy(update={"toolsets": "organization,affiliates"}))
    async with chosen.running(), assistant(chosen, world.acme.mcp_token, *way) as client:
        assert {r.uri for r in (await client.list_resources()).resources} == {GUIDE.uri, "rekomi://organization"}
        templates = (await client.list_resource_templates()).resource_templates
        assert [template.uri_template for template in templates] == ["rekomi://affiliates/{affiliateId}"]
        await read(client, f"rekomi://affiliates/{world.acme.affiliate}")
        for uri in ("rekomi://programs", f"rekomi://programs/{world.acme.program}"):
            assert (await refusal(client, uri)).code == not_found(way)


async def test_a_read_only_server_offers_every_resource(app: App, world: World) -> None:
    chosen = App(app.settings.model_copy(update={"read_only": True}))
    async with chosen.running(), assistant(chosen, world.acme.mcp_token) as client:
        listed = [r.uri for r in (await client.list_resources()).resources]
        listed += [t.uri_template for t in (await client.list_resource_templates()).resource_templates]
    assert set(listed) == {resource.uri for resource in RESOURCES}


async def test_a_list_that_is_too_long_is_cut_and_says_how_to_go_on(app: App, client: Client, world: World) -> None:
    terms: dict[str, Any] = {"defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
    for number in range(50):
        named = {"name": f"Program {number}", "description": f"{number:03}" + "é" * 490}
        await operate(app, "create_program", terms | named, System(world.acme.id))
    text = (await read(client, "rekomi://programs")).text
    page = json.loads(text)
    assert 10 < len(page["items"]) < 50
    assert len(text) <= answers.MAX_CHARS + len(page["note"]) + 20
    assert page["note"].startswith(f"{len(page['items'])} of the 50 asked for")
    rest = await client.call_tool("list_programs", {"cursor": page["nextCursor"]})
    assert rest.structured_content is not None
    assert rest.structured_content["items"][0]["name"] == f"Program {49 - len(page['items'])}"


async def test_an_unexpected_failure_tells_nothing_of_the_inside(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("password=hunter2 at /srv/rekomi/secret.py")

    monkeypatch.setattr(storage.programs, "page", crash)
    with caplog.at_level(logging.ERROR):
        error = await refusal(client, "rekomi://programs")
    assert (error.code, error.data) == (INTERNAL_ERROR, {"error": "internal_error"})
    assert "hunter2" not in error.message
    assert "hunter2" in caplog.text
    await read(client, "rekomi://organization")
