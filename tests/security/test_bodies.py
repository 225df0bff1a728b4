"""Bodies that are no JSON, or JSON of the worst kind, as raw bytes at both doors: refused in words, never a crash."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import anyio
import httpx
import pytest
from mcp_types.version import LATEST_MODERN_VERSION

from rekomi_mcp.domain.access import Credential
from rekomi_mcp.transports.bodies import LARGE_BYTES
from tests.security.conftest import Scene
from tests.support.contents import audit_lines, contents
from tests.support.doors import MCP_HEADERS

pytestmark = pytest.mark.anyio

LIMIT = 4 * 1024 * 1024
PROGRAM = b'{"name":%s,"defaultCommissionType":"Percentage","defaultCommissionValue":%s}'
CALL = b'{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"create_program","arguments":%s}}'
ARGUMENTS = {
    "NaN": PROGRAM % (b'"x"', b"NaN"),
    "Infinity": PROGRAM % (b'"x"', b"Infinity"),
    "minus Infinity": PROGRAM % (b'"x"', b"-Infinity"),
    "a number past every float": PROGRAM % (b'"x"', b"1e400"),
    "a number of 5000 digits": PROGRAM % (b'"x"', b"9" * 5000),
    "a NUL, escaped": PROGRAM % (b'"a\\u0000b"', b"20"),
    "a NUL": PROGRAM % (b'"a\x00b"', b"20"),
    "a lone surrogate, escaped": PROGRAM % (b'"a\\ud800b"', b"20"),
    "a lone surrogate in a name": b'{"\\ud800":1}',
    "invalid UTF-8": PROGRAM % (b'"\xff\xfe"', b"20"),
    "an overlong NUL": PROGRAM % (b'"\xc0\x80"', b"20"),
    "UTF-16": (PROGRAM % (b'"x"', b"20")).decode().encode("utf-16"),
    "deep in an argument": PROGRAM % (b"[" * 600 + b"]" * 600, b"20"),
    "very deep in an argument": PROGRAM % (b"[" * 100_000 + b"]" * 100_000, b"20"),
    "deep objects": PROGRAM % (b'{"a":' * 900 + b"1" + b"}" * 900, b"20"),
    "a long list": PROGRAM % (b"[" + b"1," * 500_000 + b"1]", b"20"),
    "a control character": PROGRAM % (b'"a\x01b"', b"20"),
    "no end": b'{"name":"x"',
    "words": b"name=x",
}
IDS = [name.replace(" ", "-") for name in ARGUMENTS]


def refused_quietly(scene: Scene, before: object, text: str) -> None:
    """Nothing was stored, and what was sent does not come back."""
    assert contents(scene.app) == before
    assert len(text) < 2_000
    assert "internal_error" not in text


@pytest.mark.parametrize("content", ARGUMENTS.values(), ids=IDS)
async def test_a_bad_body_is_refused_over_http(scene: Scene, content: bytes) -> None:
    before, headers = contents(scene.app), {"authorization": f"Bearer {scene.world.acme.live_token}"}
    answer = await scene.doors.client.post("/api/v1/programs", content=content, headers=headers)
    if answer.status_code == 201:  # UTF-16 is read by its mark, and is not wrong
        assert content.startswith((b"\xff\xfe", b"\xfe\xff"))
        return
    assert (answer.status_code, answer.json()["error"]) == (400, "validation_failed")
    refused_quietly(scene, before, answer.text)


META = {
    "io.modelcontextprotocol/protocolVersion": LATEST_MODERN_VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


async def post_message(scene: Scene, era: str, message: bytes, **routing: str) -> httpx.Response:
    """A message as clients of an era send it."""
    headers = MCP_HEADERS | {"authorization": f"Bearer {scene.world.acme.mcp_token}"}
    if era == "modern":
        headers |= {"mcp-protocol-version": LATEST_MODERN_VERSION} | routing
        message = message.replace(b'"params":{', b'"params":{"_meta":' + json.dumps(META).encode() + b",")
    return await scene.doors.client.post("/mcp", content=message, headers=headers)


async def call_tool(scene: Scene, era: str, arguments: bytes) -> httpx.Response:
    """A call of create_program with raw arguments."""
    routing = {"mcp-method": "tools/call", "mcp-name": "create_program"}
    return await post_message(scene, era, CALL % (b"1", arguments), **routing)


every_era = pytest.mark.parametrize("era", ["handshake", "modern"])


@every_era
@pytest.mark.parametrize("content", ARGUMENTS.values(), ids=IDS)
async def test_a_bad_message_is_refused_over_mcp(scene: Scene, content: bytes, era: str) -> None:
    before = contents(scene.app)
    answer = await call_tool(scene, era, content)
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        body = answer.json()
        assert "error" in body or body["result"]["isError"], body
    refused_quietly(scene, before, answer.text)


@every_era
async def test_the_same_message_with_good_arguments_is_taken(scene: Scene, era: str) -> None:
    answer = await call_tool(scene, era, PROGRAM % (f'"Made by the {era} era"'.encode(), b"20"))
    assert answer.json()["result"]["structuredContent"]["name"] == f"Made by the {era} era"


@every_era
@pytest.mark.parametrize(
    "method",
    [
        "subscriptions/listen",
        "resources/subscribe",
        "roots/list",
        "logging/setLevel",
        "completion/complete",
        "sampling/createMessage",
        "tasks/list",
        "tools/nothing",
        "",
    ],
)
async def test_no_method_holds_a_connection_open(scene: Scene, method: str, era: str) -> None:
    """What this server does not offer is answered at once, and not with a stream."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"level": "debug", "uri": "file:///etc/passwd"}}
    with anyio.fail_after(5):
        content = json.dumps(message, separators=(",", ":")).encode()
        answer = await post_message(scene, era, content, **{"mcp-method": method})
    assert not answer.headers["content-type"].startswith("text/event-stream")
    assert "error" in answer.json() or answer.json()["result"] == {}


@pytest.mark.parametrize("id_", [b"null", b"{}", b"9" * 400, b"1.5", b'"' + b"x" * 100_000 + b'"', b'"\\u0000"'])
async def test_a_message_whose_id_is_none_does_no_harm(scene: Scene, id_: bytes) -> None:
    headers = MCP_HEADERS | {"authorization": f"Bearer {scene.world.acme.mcp_token}"}
    content = b'{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"whoami"}}' % id_
    answer = await scene.doors.client.post("/mcp", content=content, headers=headers)
    assert answer.status_code in (200, 202, 400)


@pytest.mark.parametrize(
    "content", [b"[]", b"[" + b'{"jsonrpc":"2.0","id":1,"method":"ping"},' * 1000 + b"1]", b"null"]
)
async def test_a_batch_is_no_message(scene: Scene, content: bytes) -> None:
    headers = MCP_HEADERS | {"authorization": f"Bearer {scene.world.acme.mcp_token}"}
    assert (await scene.doors.client.post("/mcp", content=content, headers=headers)).status_code == 400


async def test_a_name_given_twice_in_a_body_is_refused(scene: Scene) -> None:
    """Whoever looks at a request on its way, and the server, must not read two different things out of it."""
    headers = {"authorization": f"Bearer {scene.world.acme.live_token}"}
    for content in (b'{"name":"A","name":"B"}', b'{"name":{"a":1,"a":2}}'):
        path = f"/api/v1/programs/{scene.world.acme.program}"
        answer = await scene.doors.client.patch(path, content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "validation_failed")
        assert "twice" in answer.json()["message"]


async def pieces(count: int) -> AsyncIterator[bytes]:
    """A body that does not say how long it is."""
    for _ in range(count):
        yield b" " * 65_536


@pytest.mark.parametrize("path", ["/api/v1/programs", "/mcp"])
async def test_a_body_without_a_length_is_cut_off_at_the_limit(scene: Scene, path: str) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        async for piece in pieces(10_000):
            sent += len(piece)
            yield piece

    token = scene.world.acme.mcp_token if path == "/mcp" else scene.world.acme.live_token
    headers = MCP_HEADERS | {"authorization": f"Bearer {token}"}
    answer = await scene.doors.client.post(path, content=endless(), headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (413, "payload_too_large")
    assert sent <= LIMIT + 2 * 65_536


@pytest.mark.parametrize("path", ["/api/v1/programs", "/mcp"])
async def test_a_body_that_says_it_is_too_long_is_not_read(scene: Scene, path: str) -> None:
    token = scene.world.acme.mcp_token if path == "/mcp" else scene.world.acme.live_token
    headers = MCP_HEADERS | {"authorization": f"Bearer {token}", "content-length": str(LIMIT + 1)}
    answer = await scene.doors.client.post(path, content=never_read(), headers=headers)
    assert answer.status_code == 413


async def never_read() -> AsyncIterator[bytes]:
    raise AssertionError("the body was read")
    yield b""


@pytest.mark.parametrize("path", ["/api/v1/programs", "/mcp"])
async def test_a_large_body_is_read_only_for_a_caller_who_is_known(scene: Scene, path: str) -> None:
    before, lines = contents(scene.app), audit_lines(scene.app)
    for token in ("rk_live_nobody", "rk_mcp_nobody"):
        for length in ({}, {"content-length": str(LARGE_BYTES + 1)}):
            headers = MCP_HEADERS | {"authorization": f"Bearer {token}"} | length
            answer = await scene.doors.client.post(path, content=never_read(), headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert (contents(scene.app), audit_lines(scene.app)) == (before, lines)


@pytest.mark.parametrize("stored", ["sqlite"], indirect=True)
async def test_a_small_body_costs_its_caller_one_look_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[Credential] = []
    identify = scene.app.pipeline.identify

    async def counted(credential: Credential) -> object:
        looked_up.append(credential)
        return await identify(credential)

    monkeypatch.setattr(scene.app.pipeline, "identify", counted)
    headers = {"authorization": f"Bearer {scene.world.acme.live_token}"}
    path = f"/api/v1/programs/{scene.world.acme.program}"
    answer = await scene.doors.client.patch(path, json={"description": "short"}, headers=headers)
    assert answer.is_success
    assert looked_up == []
    answer = await scene.doors.client.patch(path, json={"description": "x" * LARGE_BYTES}, headers=headers)
    assert answer.status_code == 400
    assert len(looked_up) == 1
