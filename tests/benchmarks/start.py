"""From starting the process to its first tools/list over stdio, against a bare SDK server with the same tools."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mcp import StdioServerParameters
from mcp.client import Client
from mcp.client.stdio import stdio_client

from tests.benchmarks.figures import Figure, cost, medians
from tests.benchmarks.stores import Filled

ROUNDS = 7
BARE = """
import json, sys
import anyio
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp_types import ListToolsResult, Tool
TOOLS = open(sys.argv[1]).read()
async def list_tools(context, params):
    return ListToolsResult(tools=[Tool.model_validate(tool) for tool in json.loads(TOOLS)])
async def main():
    server = Server("bare", on_list_tools=list_tools)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())
anyio.run(main)
"""


async def measure(filled: Filled) -> list[Figure]:
    folder = filled.settings.data_dir
    environment = {"REKOMI_DATA_DIR": str(folder), "REKOMI_DATABASE_URL": filled.settings.store_url}
    ours = StdioServerParameters(command=sys.executable, args=["-m", "rekomi_mcp", "serve", "stdio"], env=environment)
    kept = await _tools(ours, folder)
    bare = StdioServerParameters(command=sys.executable, args=["-c", BARE, str(kept)])
    mine, least = await medians(lambda: _first_list(ours), lambda: _first_list(bare), ROUNDS)
    return [cost("stdio start to first tools/list / bare SDK", filled.name, mine, least, "ms", 1.3)]


async def _first_list(server: StdioServerParameters) -> None:
    async with Client(stdio_client(server)) as client:
        await client.list_tools()


async def _tools(server: StdioServerParameters, folder: Path) -> Path:
    async with Client(stdio_client(server)) as client:
        listed = await client.list_tools()
    kept = folder / "tools.json"
    kept.write_text(json.dumps([tool.model_dump(mode="json", by_alias=True) for tool in listed.tools]))
    return kept
