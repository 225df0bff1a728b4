"""MCP on stdio, as an assistant starts it: a process of its own, an empty folder, and nothing but protocol on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from rekomi_mcp.app import App
from rekomi_mcp.settings import Settings
from rekomi_mcp.tools import CATALOGUE
from tests.contract.processes import watched
from tests.support.databases import create_database
from tests.support.log_watch import leaks
from tests.support.world import operate

pytestmark = pytest.mark.anyio

COMMAND = [sys.executable, "-m", "rekomi_mcp", "serve", "stdio"]
START_SECONDS = 30
"""Each start costs about two seconds of a processor; this is for machines that are busy."""


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What an assistant gives the server it starts: no more than it must, to say all that it can, and to be watched."""
    usual = {"HOME": str(folder), "REKOMI_DATA_DIR": str(folder / "data"), "REKOMI_LOG_LEVEL": "DEBUG"}
    return {"PATH": os.environ["PATH"], **usual, **watched(), **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of somebody new; what the first start makes of it, the others find."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def first_start(folder: Path) -> subprocess.CompletedProcess[str]:
    """A client of the handshake era that says what it must, asks for the tools and for one answer, and goes."""
    client = {
        "protocolVersion": LATEST_HANDSHAKE_VERSION,
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    program = {"name": "Creators", "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
    messages: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": client},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
        {"id": 3, "method": "tools/call", "params": {"name": "create_program", "arguments": program}},
    ]
    process = subprocess.Popen(
        COMMAND,
        env=environment(folder),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = Timer(START_SECONDS, process.kill)
    watchdog.start()
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers: list[str] = []
        for message in messages:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            process.stdin.flush()
            if "id" in message:
                answers.append(process.stdout.readline())
        out, err = process.communicate()  # closes stdin
    watchdog.cancel()
    return subprocess.CompletedProcess(COMMAND, process.returncode, "".join(answers) + out, err)


async def test_the_first_start_on_an_empty_folder_just_works(
    first_start: subprocess.CompletedProcess[str], folder: Path
) -> None:
    initialized, listed, called = [json.loads(line)["result"] for line in first_start.stdout.splitlines()]
    assert initialized["serverInfo"]["name"] == "rekomi"
    assert {tool["name"] for tool in listed["tools"]} == {operation.name for operation in CATALOGUE.listed()}
    assert called["structuredContent"]["name"] == "Creators"
    assert not called["isError"]
    assert (folder / "data" / "rekomi-sandbox.db").is_file()


async def test_it_ends_by_itself_when_its_client_goes(first_start: subprocess.CompletedProcess[str]) -> None:
    assert first_start.returncode == 0


async def test_nothing_but_protocol_is_on_stdout(first_start: subprocess.CompletedProcess[str]) -> None:
    lines = first_start.stdout.splitlines()
    assert len(lines) == 3
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in lines)


async def test_stderr_says_that_this_is_a_sandbox_and_nothing_went_wrong(
    first_start: subprocess.CompletedProcess[str], folder: Path
) -> None:
    assert "SANDBOX" in first_start.stderr
    assert "no money here is real" in first_start.stderr
    assert str(folder / "data") in first_start.stderr
    for bad in ("Traceback", "ERROR", "Warning"):
        assert bad not in first_start.stderr
    assert not leaks(first_start.stderr)


@asynccontextmanager
async def connected(folder: Path, mode: str, **environ: str) -> AsyncGenerator[Client]:
    """A real client with a process of its own; what the process says goes to a file."""
    server = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=environment(folder, **environ), cwd=folder)
    said = folder / f"stderr of {mode}.txt"
    with said.open("w") as errors:
        async with Client(stdio_client(server, errlog=errors), mode=mode, read_timeout_seconds=START_SECONDS) as client:
            yield client
    assert not leaks(said.read_text())


async def test_two_assistants_of_either_era_work_on_one_folder_at_once(
    first_start: subprocess.CompletedProcess[str], folder: Path
) -> None:
    """Each has a server of its own; what one makes the other sees, Stripe's sandbox and all."""
    async with connected(folder, "auto") as modern, connected(folder, "legacy") as legacy:
        assert modern.protocol_version == LATEST_MODERN_VERSION
        assert legacy.protocol_version == LATEST_HANDSHAKE_VERSION
        sarah = await modern.call_tool("create_affiliate", {"email": "sarah@example.com", "fullName": "Sarah Lee"})
        assert sarah.structured_content is not None, sarah.content
        coupon = await legacy.call_tool("create_campaign_coupon", {"name": "20 off", "discountValue": 20})
        assert coupon.structured_content is not None, coupon.content
        wanted = {"affiliateId": sarah.structured_content["id"], "couponId": coupon.structured_content["id"]}
        code = await modern.call_tool("mint_affiliate_code", wanted)
        assert code.structured_content is not None, code.content
        assert (code.structured_content["code"], code.structured_content["status"]) == ("SARAH20", "Active")
        ended = await legacy.call_tool("deactivate_affiliate_code", {"codeId": code.structured_content["id"]})
        assert ended.structured_content is not None, ended.content
        assert ended.structured_content["status"] == "Inactive"


async def test_a_token_of_the_environment_is_enforced(
    first_start: subprocess.CompletedProcess[str], folder: Path
) -> None:
    app = App(Settings(data_dir=folder / "data"))
    async with app.running():
        wanted = {"organization": "my-brand", "kind": "MCP", "name": "reader", "scope": "read"}
        token = (await operate(app, "create_token", wanted))["token"]
    async with connected(folder, "auto", REKOMI_TOKEN=token) as reader:
        me = await reader.call_tool("whoami", {})
        assert me.structured_content is not None, me.content
        assert (me.structured_content["scope"], me.structured_content["actorType"]) == ("read", "mcp")
        listed = await reader.call_tool("list_programs", {})
        assert not listed.is_error
        refused = await reader.call_tool("create_affiliate", {"email": "eve@example.com"})
        assert refused.is_error
        assert '"error":"forbidden"' in refused.content[0].model_dump()["text"]


async def test_an_empty_postgresql_gets_its_organization_at_the_first_call(postgres: str, tmp_path: Path) -> None:
    async with connected(tmp_path, "auto", REKOMI_DATABASE_URL=create_database(postgres)) as client:
        assert (await client.list_tools()).tools
        me = await client.call_tool("whoami", {})
        assert me.structured_content is not None, me.content
        assert me.structured_content["organizationName"] == "My brand"


async def test_a_database_that_cannot_be_opened_is_told_of_at_the_first_call_and_on_stderr(tmp_path: Path) -> None:
    nowhere = "postgresql://nobody:secret@127.0.0.1:9/nothing"
    async with connected(tmp_path, "auto", REKOMI_DATABASE_URL=nowhere) as client:
        assert (await client.list_tools()).tools
        called = await client.call_tool("whoami", {})
        assert called.is_error
        assert "rekomi-mcp doctor" in called.content[0].model_dump()["text"]
    said = (tmp_path / "stderr of auto.txt").read_text()
    assert "The database cannot be opened" in said
    assert "secret" not in said
