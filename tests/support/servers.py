"""Real servers on loopback, inside the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Generator

import uvicorn
from starlette.types import ASGIApp


@contextlib.contextmanager
def listening() -> Generator[socket.socket]:
    """A socket on a free port of loopback, which early requests wait at."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def closed_port() -> int:
    """A port of loopback where nobody listens."""
    with listening() as listener:
        return port_of(listener)


class _Embedded(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket) -> AsyncGenerator[str]:
    """Serve an ASGI application, with its lifespan if it has one, until the block ends; yields its address."""
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=1)
    async with running(config, listener) as address:
        yield address


@contextlib.asynccontextmanager
async def running(config: uvicorn.Config, listener: socket.socket) -> AsyncGenerator[str]:
    """Serve as a configuration says, on this socket."""
    server = _Embedded(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        assert server.started, "the application did not start"
        yield f"http://127.0.0.1:{port_of(listener)}"
    finally:
        server.should_exit = True
        await task
