"""Tool calls through the whole pipeline, in memory, against a bare SDK server that answers the same bytes.

Where both ask the database there are two floors. The SQL on the event loop is the shortest way there is; of ours, brief
reads of SQLite go it too. The SQL in a worker thread is where the SDK runs a tool that is a plain function, and where all
else of ours runs. Ours is held to the same bound against either.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from anyio import to_thread
from mcp.client import Client
from mcp.server import Server
from mcp_types import CallToolResult, ListToolsResult, TextContent

from rekomi_mcp.app import App
from rekomi_mcp.domain.access import Credential
from rekomi_mcp.pipeline import Origin
from rekomi_mcp.tools import CATALOGUE
from rekomi_mcp.transports.mcp import build_mcp_server
from tests.benchmarks.figures import Figure, cost, medians
from tests.benchmarks.raw import Raw
from tests.benchmarks.stores import Filled

EVERYTHING = CATALOGUE.narrowed(frozenset({"all"}), read_only=False)
"""A client asks for the list of tools again with each call of one that is not in it."""
ROUNDS = 600
"""Long enough that what others do on the machine comes and goes within them."""
TAKE = 50
PAGE = """
    SELECT c.id, c.affiliate_id, coalesce(nullif(a.full_name, ''), a.email), c.program_id, c.code, c.method, c.type,
           c.amount_minor, c.currency, c.commission_minor, c.commission_currency, c.remaining_minor, c.state,
           c.occurred_at, c.held_until, c.refunded_at, s.source_id, s.customer_id, s.subscription_id
    FROM conversion c JOIN sale s ON s.id = c.sale_id JOIN affiliate a ON a.id = c.affiliate_id
    WHERE c.organization_id = :organization
    ORDER BY c.occurred_at DESC, c.id DESC LIMIT 51
"""


@asynccontextmanager
async def clients(
    app: App,
    credential: Credential,
    name: str,
    arguments: dict[str, Any],
    floor: Callable[[], object],
    *,
    thread: bool = False,
) -> AsyncGenerator[tuple[Client, Client]]:
    """A client of our server, and one of a bare server that does the floor's work and answers what ours answers.

    Args:
        thread: whether that work is done in a worker thread, where the SDK runs tools that are plain functions.
    """
    ours = build_mcp_server(EVERYTHING, app.pipeline, lambda _: (credential, Origin()), sandbox=True)
    async with Client(ours) as client:
        tools = await client.list_tools()
        answer = await client.call_tool(name, arguments)
        assert not answer.is_error, answer
        [content] = answer.content
        assert isinstance(content, TextContent)

        async def list_tools(*_: Any) -> ListToolsResult:
            return ListToolsResult(tools=tools.tools)

        async def call_tool(*_: Any) -> CallToolResult:
            if thread:
                await to_thread.run_sync(floor)
            else:
                floor()
            text = TextContent(type="text", text=content.text)
            return CallToolResult(content=[text], structured_content=answer.structured_content)

        bare = Server[Any]("bare", on_list_tools=list_tools, on_call_tool=call_tool)
        async with Client(bare) as bare_client:
            await bare_client.list_tools()
            yield client, bare_client


async def beside_sql(
    app: App, filled: Filled, what: str, name: str, arguments: dict[str, Any], by_hand: Callable[[], object]
) -> list[Figure]:
    """A tool against the bare SDK with SQL by hand, in a worker thread and on the event loop."""
    figures: list[Figure] = []
    for where, thread in (("in a thread", True), ("on the event loop", False)):
        both = clients(app, filled.brand.credential, name, arguments, by_hand, thread=thread)
        async with both as (client, bare):
            ours, floor = await medians(
                partial(client.call_tool, name, arguments), partial(bare.call_tool, name, arguments), ROUNDS
            )
        figures.append(cost(f"{what} / bare SDK + SQL {where}", filled.name, ours, floor, "ms", 2))
    return figures


async def measure(filled: Filled, large: bool) -> list[Figure]:
    """On few sales get_organization alone; on many also the lists."""
    app = App(filled.settings)
    async with app.running():
        if not large:
            return [await _get_organization(app, filled)]
        return [*await _list_conversions(app, filled), await _deep_page(app, filled)]


async def _get_organization(app: App, filled: Filled) -> Figure:
    name = "get_organization"
    async with clients(app, filled.brand.credential, name, {}, lambda: None) as (client, bare):
        ours, floor = await medians(partial(client.call_tool, name, {}), partial(bare.call_tool, name, {}), 600)
    return cost("get_organization in memory / bare SDK", filled.name, ours, floor, "ms", 1.5)


async def _list_conversions(app: App, filled: Filled) -> list[Figure]:
    raw = Raw(filled.settings.store_url)
    by_hand = partial(raw.rows, PAGE, {"organization": filled.brand.organization})
    what = f"list_conversions, {TAKE} of {filled.brand.sales:,}"
    figures = await beside_sql(app, filled, what, "list_conversions", {"take": TAKE}, by_hand)
    raw.close()
    return figures


async def _deep_page(app: App, filled: Filled) -> Figure:
    """The page at the very end of the list, against the first."""
    name, first = "list_conversions", {"take": TAKE}
    async with clients(app, filled.brand.credential, name, first, lambda: None) as (client, _):
        oldest = {**first, "until": await _time_of_sale(client, filled, TAKE + 1)}
        start = await client.call_tool(name, oldest)
        assert start.structured_content is not None
        last = {**first, "cursor": start.structured_content["nextCursor"]}
        deep, shallow = await medians(
            partial(client.call_tool, name, last), partial(client.call_tool, name, first), 200
        )
    return cost(f"page at depth {filled.brand.sales:,} / first page", filled.name, deep, shallow, "ms", 1.2)


async def _time_of_sale(client: Client, filled: Filled, number: int) -> str:
    raw = Raw(filled.settings.store_url)
    query = "SELECT occurred_at FROM sale WHERE organization_id = :organization AND source_id = :sale"
    [[at]] = raw.rows(query, {"organization": filled.brand.organization, "sale": f"in_{2 * number}"})
    raw.close()
    return f"{str(at)[:19].replace(' ', 'T')}Z"
