"""The processes of the story: an HTTP server that receives webhooks, and stdio servers that assistants talk to."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx

from rekomi_mcp.sandbox.simulate import Simulation
from rekomi_mcp.sandbox.state import State

START_SECONDS = 30.0
EVENT_SECONDS = 20.0
JsonObject = dict[str, Any]


class StoryError(Exception):
    """The stage itself failed: a server did not start, or an event did not arrive."""


class Stage:
    """A data folder of its own and the servers on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("REKOMI_")}
        self.environment = inherited | {
            "REKOMI_DATA_DIR": str(folder),
            "REKOMI_PORT": str(self.port),
            "REKOMI_ORGANIZATION": "acme",
            "REKOMI_LOG_LEVEL": "WARNING",
        }

    @property
    def customers(self) -> Simulation:
        """The people who buy, and the clock."""
        return Simulation(State(self.folder / "sandbox.db"))

    def command(self, *arguments: str) -> str:
        """Run a `rekomi-mcp` command to its end; answers what it printed.

        Raises:
            StoryError: it failed.
        """
        done = subprocess.run(
            [sys.executable, "-m", "rekomi_mcp", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise StoryError(f"`rekomi-mcp {' '.join(arguments)}` failed: {done.stderr.strip()}")
        return done.stdout

    @contextmanager
    def http_server(self) -> Generator[None]:
        """`rekomi-mcp serve http`, until the block ends."""
        log = self.folder / "http.log"
        with log.open("w") as output:
            server = subprocess.Popen(
                [sys.executable, "-m", "rekomi_mcp", "serve", "http"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            self._wait_until_healthy(server, log)
            yield
        finally:
            server.terminate()
            server.wait(timeout=30)

    def _wait_until_healthy(self, server: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and server.poll() is None:
            try:
                if httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise StoryError(f"The HTTP server did not start. It said:\n{log.read_text()}")

    @asynccontextmanager
    async def assistant(self) -> AsyncGenerator[Assistant]:
        """An MCP client with a stdio server of its own."""
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client

        parameters = StdioServerParameters(
            command=sys.executable, args=["-m", "rekomi_mcp", "serve", "stdio"], env=self.environment
        )
        with (self.folder / "stdio.log").open("w") as log:
            async with Client(stdio_client(parameters, errlog=log)) as client:
                yield Assistant(client)

    @asynccontextmanager
    async def remote_assistant(self, token: str) -> AsyncGenerator[Assistant]:
        """An MCP client of the HTTP server, with a token."""
        # The MCP package's HTTP client takes the headers.
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http,
            Client(streamable_http_client(f"{self.url}/mcp", http_client=http)) as client,
        ):
            yield Assistant(client)


class Assistant:
    """Calls tools the way Claude or Cursor does."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def call(self, tool: str, **arguments: Any) -> JsonObject:
        """A tool's structured answer.

        Raises:
            StoryError: the tool answered with an error.
        """
        result = await self._client.call_tool(tool, arguments)
        if result.is_error:
            raise StoryError(f"{tool} answered: {result.content[0].text}")
        return result.structured_content

    async def refusal(self, tool: str, **arguments: Any) -> JsonObject:
        """The error a tool answers with."""
        result = await self._client.call_tool(tool, arguments)
        if not result.is_error:
            raise StoryError(f"{tool} should have been refused.")
        return json.loads(result.content[0].text)

    async def wait_for(self, tool: str, enough: Callable[[JsonObject], bool], **arguments: Any) -> JsonObject:
        """Ask again until an event has arrived.

        Raises:
            StoryError: it did not arrive in time.
        """
        deadline = time.monotonic() + EVENT_SECONDS
        while time.monotonic() < deadline:
            answer = await self.call(tool, **arguments)
            if enough(answer):
                return answer
            await anyio.sleep(0.2)
        raise StoryError(f"{tool} did not show the event within {EVENT_SECONDS:.0f} seconds.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
