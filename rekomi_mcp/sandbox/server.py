"""The sandbox as a server on loopback: inside another program's event loop, or as a program of its own."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import anyio
import uvicorn

from rekomi_mcp.sandbox.app import build_sandbox

_HOST = "127.0.0.1"


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox that answers.

    Attributes:
        url: for example `http://127.0.0.1:4242`, to be used as the base URL of the Stripe API.
    """

    url: str


@contextlib.asynccontextmanager
async def running_sandbox(state_path: Path, port: int = 0) -> AsyncGenerator[RunningSandbox]:
    """Serve the sandbox in the current event loop (asyncio) until the block ends. Port 0 means any free one."""
    with _listening_socket(port) as listener:
        server = _EmbeddedServer(_config(state_path))
        # Not a task group: the block's own exceptions should leave it as they are.
        serving = asyncio.create_task(server.serve([listener]))
        try:
            while not server.started and not serving.done():
                await anyio.sleep(0.005)
            yield RunningSandbox(_url(listener))
        finally:
            server.should_exit = True
            with anyio.CancelScope(shield=True):
                await serving


def serve_sandbox(state_path: Path, port: int, announce: Callable[[str], None] = print) -> None:
    """Serve the sandbox until interrupted. `announce` is told the URL once it is certain."""
    with _listening_socket(port) as listener:
        announce(_url(listener))
        with contextlib.suppress(KeyboardInterrupt):  # how uvicorn passes an interrupt on, once it has stopped
            uvicorn.Server(_config(state_path)).run(sockets=[listener])


class _EmbeddedServer(uvicorn.Server):
    """A server that leaves signals to the program around it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _config(state_path: Path) -> uvicorn.Config:
    return uvicorn.Config(
        build_sandbox(state_path),
        lifespan="on",
        log_config=None,
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )


@contextlib.contextmanager
def _listening_socket(port: int) -> Generator[socket.socket]:
    """A socket on loopback, there before the server: its port is known and early requests wait instead of failing."""
    # The protocol is named because asyncio turns Nagle's delay (40 ms an answer) off only where it is.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen()
        yield listener


def _url(listener: socket.socket) -> str:
    return f"http://{_HOST}:{listener.getsockname()[1]}"
