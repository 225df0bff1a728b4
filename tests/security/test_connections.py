"""Connections for real, by clients that are slow, greedy or many: none holds the server for longer than it may."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from rekomi_mcp.app import App
from rekomi_mcp.serving import build_http_app, http_config
from rekomi_mcp.settings import Settings
from rekomi_mcp.transports import connections
from rekomi_mcp.transports.connections import ImpatientProtocol
from tests.support.log_watch import LogWatch
from tests.support.servers import listening, port_of, running
from tests.support.world import World

pytestmark = pytest.mark.anyio

PATIENCE = 0.4
"""Seconds, in place of the real limits."""
MAX_CONNECTIONS = 20


@dataclass(frozen=True)
class Served:
    port: int
    world: World

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def head(self, method: str, path: str, *headers: str, token: str | None = None) -> bytes:
        """The first lines of a request, without the empty one that ends them."""
        own = self.world.acme.mcp_token if path == "/mcp" else self.world.acme.live_token
        usual = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token or own}"]
        return "\r\n".join([*usual, *headers]).encode() + b"\r\n"


@pytest.fixture(scope="module")
def impatience() -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImpatientProtocol, "request_seconds", PATIENCE)
        patch.setattr(ImpatientProtocol, "answer_seconds", PATIENCE)
        patch.setattr(connections, "MAX_CONNECTIONS", MAX_CONNECTIONS)
        yield


@pytest.fixture(scope="module")
async def served(
    anyio_backend: str,
    impatience: None,
    sqlite_template: Path,
    session_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Served]:
    folder = tmp_path_factory.mktemp("served")
    shutil.copyfile(sqlite_template, folder / "store.db")
    with listening() as listener:
        settings = Settings(
            database_url=f"sqlite:///{folder / 'store.db'}",
            data_dir=folder,
            port=port_of(listener),
            max_body_bytes=8 * 1024 * 1024,
            poll_seconds=3600,
        )
        async with running(http_config(build_http_app(App(settings)), settings), listener):
            yield Served(settings.port, World.load(session_folder / "sqlite.json"))


async def connect(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", served.port)


async def trickle(served: Served, beginning: bytes, piece: bytes) -> tuple[float, bytes]:
    """Send a beginning, then a piece at a time, far more often than the server waits; when it hangs up, and what it said."""
    reader, writer = await connect(served)
    began = asyncio.get_running_loop().time()
    said = b""
    try:
        async with asyncio.timeout(10):
            writer.write(beginning)
            while not reader.at_eof():
                writer.write(piece)
                await writer.drain()
                try:
                    said += await asyncio.wait_for(reader.read(65_536), PATIENCE / 10)
                except TimeoutError:
                    continue
    except ConnectionError:
        pass
    finally:
        writer.close()
    return asyncio.get_running_loop().time() - began, said


CHUNKED = ("Transfer-Encoding: chunked", "Content-Type: application/json", "Accept: application/json")


@pytest.mark.parametrize("path", ["/api/v1/programs", "/mcp", "/webhooks/stripe"])
async def test_a_body_that_comes_by_drops_is_not_waited_for(served: Served, path: str) -> None:
    seconds, said = await trickle(served, served.head("POST", path, *CHUNKED) + b"\r\n", b"1\r\n \r\n")
    assert PATIENCE * 0.9 < seconds < PATIENCE + 3
    assert said == b""


async def test_headers_that_come_by_drops_are_not_waited_for(served: Served) -> None:
    seconds, said = await trickle(served, served.head("GET", "/api/v1/whoami"), b"X: y\r\n")
    assert seconds < PATIENCE + 3
    assert said == b""


async def test_a_client_that_says_nothing_is_not_waited_for(served: Served) -> None:
    reader, writer = await connect(served)
    async with asyncio.timeout(PATIENCE + 3):
        assert await reader.read() == b""
    writer.close()


async def test_a_body_that_goes_on_after_its_refusal_is_not_listened_to(served: Served) -> None:
    head = served.head("POST", "/api/v1/programs", *CHUNKED, token="rk_live_nobody")
    seconds, said = await trickle(served, head + b"\r\n", b"1\r\n \r\n")
    assert b" 401 " in said
    assert seconds < PATIENCE + 3


async def test_a_second_request_has_as_little_time_as_the_first(served: Served) -> None:
    whole = served.head("GET", "/api/v1/whoami") + b"\r\n"
    seconds, said = await trickle(served, whole + served.head("GET", "/api/v1/whoami"), b"X: y\r\n")
    assert said.count(b"HTTP/1.1 200") == 1
    assert seconds < PATIENCE + 3


async def test_a_client_that_does_not_read_its_answers_is_cut_off(served: Served) -> None:
    """Requests one after the other, answers piling up: the server stops and lets go."""
    reader, writer = await connect(served)
    reader._transport.pause_reading()  # type: ignore[attr-defined]  # pyright: ignore
    one = served.head("GET", "/openapi.json") + b"\r\n"
    began = asyncio.get_running_loop().time()
    with pytest.raises((ConnectionError, TimeoutError)):
        async with asyncio.timeout(20):
            while True:
                writer.write(one * 50)
                await writer.drain()
                await asyncio.sleep(0.01)
    assert asyncio.get_running_loop().time() - began < 15
    writer.transport.abort()


async def test_an_honest_client_keeps_its_connection_between_requests(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.address) as client:
        headers = {"authorization": f"Bearer {served.world.acme.live_token}"}
        ports: set[int] = set()
        for _ in range(3):
            async with client.stream("GET", "/api/v1/whoami", headers=headers) as answer:
                await answer.aread()
                assert answer.status_code == 200
                ports.add(answer.extensions["network_stream"].get_extra_info("client_addr")[1])
            await asyncio.sleep(PATIENCE / 2)
    assert len(ports) == 1


async def test_headers_larger_than_the_limit_are_refused(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.address) as client:
        assert (await client.get("/healthz", headers={"x": "y" * 16_000})).status_code == 200
    reader, writer = await connect(served)
    said = b""
    try:
        writer.write(served.head("GET", "/healthz", "X: " + "y" * 2_000_000))
        async with asyncio.timeout(10):
            said = await reader.read()
    except ConnectionError:
        pass  # hung up while much was still to be sent
    finally:
        writer.close()
    assert b" 200 " not in said
    assert said == b"" or b" 400 " in said


async def test_a_client_that_hangs_up_half_way_leaves_no_error_behind(served: Served, watched_log: LogWatch) -> None:
    lines = watched_log.lines
    for path in ("/api/v1/programs", "/mcp", "/webhooks/stripe"):
        reader, writer = await connect(served)
        head = served.head("POST", path, "Content-Length: 100", "Content-Type: application/json", "Accept: */*")
        writer.write(head + b'\r\n{"half":')
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
        assert await reader.read() == b""
    await asyncio.sleep(0.2)
    assert watched_log.lines == lines


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00",
    ],
)
async def test_what_is_no_request_is_refused(served: Served, head: bytes) -> None:
    """Above all a request of two lengths, which a proxy before us might read in the other way."""
    reader, writer = await connect(served)
    writer.write(head)
    async with asyncio.timeout(PATIENCE + 5):
        said = await reader.read(65_536)
    assert said == b"" or said.split(b" ")[1] in (b"400", b"421", b"501")
    writer.close()


async def test_nothing_of_an_answer_is_the_callers_own_header(served: Served) -> None:
    """No header and no cookie can be put into an answer: what a request holds does not come back in its headers."""
    async with httpx.AsyncClient(base_url=served.address) as client:
        headers = {"authorization": f"Bearer {served.world.acme.live_token}", "idempotency-key": "a\tb"}
        for path in ("/api/v1/programs/%0d%0aSet-Cookie:%20a=b", "/api/v1/programs?cursor=%0d%0aSet-Cookie:%20a=b"):
            answer = await client.get(path, headers=headers)
            assert answer.status_code in (400, 404)
            assert "set-cookie" not in answer.headers
        assert "server" not in answer.headers


async def test_beyond_the_limit_connections_wait_or_are_turned_away_and_then_all_is_well(served: Served) -> None:
    """Three times as many as there is room for, all silent: a caller gets through once they are cut off."""
    silent = [await connect(served) for _ in range(3 * MAX_CONNECTIONS)]
    turned_away = 0
    for reader, _ in silent:
        async with asyncio.timeout(PATIENCE + 5):
            turned_away += await reader.read() == b""
    assert turned_away == len(silent)
    async with httpx.AsyncClient(base_url=served.address) as client:
        assert (await client.get("/healthz")).status_code == 200
    for _, writer in silent:
        writer.close()


async def test_a_hundred_callers_at_once_are_all_answered(served: Served) -> None:
    headers = {"authorization": f"Bearer {served.world.acme.live_token}"}
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS - 5)
    async with httpx.AsyncClient(base_url=served.address, limits=limits, timeout=30) as client:
        answers = await asyncio.gather(*(client.get("/api/v1/whoami", headers=headers) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}


async def test_only_a_proxy_that_was_announced_says_where_a_call_came_from() -> None:
    """X-Forwarded-For is anybody's to write; behind a public address the proxy writes it."""
    app = build_http_app(App(Settings()))
    assert not http_config(app, Settings()).proxy_headers
    assert http_config(app, Settings(public_url="https://affiliates.example.com")).proxy_headers


async def test_where_a_call_came_from_is_an_address_or_nothing(served: Served) -> None:
    from starlette.requests import HTTPConnection

    from rekomi_mcp.transports.identity import origin_of

    def origin(host: str) -> str | None:
        return origin_of(HTTPConnection({"type": "http", "client": (host, 1), "headers": []})).ip

    assert [origin(host) for host in ("127.0.0.1", "2001:DB8::1", "\x1b[31mme", "a" * 5000, "")] == [
        "127.0.0.1",
        "2001:db8::1",
        None,
        None,
        None,
    ]
    assert json.dumps(origin("::ffff:1.2.3.4"))
