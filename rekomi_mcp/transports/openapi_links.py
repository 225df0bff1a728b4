"""OpenAPI links: where the ids of an answer can be used, told from the routes alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rekomi_mcp.operation import AnyOperation, Route

Link = dict[str, object]


def links_from(operation: AnyOperation, path: str, routes: Iterable[tuple[str, Route]]) -> dict[str, Link]:
    """Links from the answer of an operation at a path to the operations below that path.

    A path that goes on from a collection's with one parameter takes the id of an item of that collection.

    Args:
        routes: every operation's name and route.
    """
    item = _item_in(operation)
    if item is None:
        return {}
    links: dict[str, Link] = {}
    for name, route in routes:
        # The parameters behind the item's are ids of other things, which this answer does not hold.
        below = re.fullmatch(re.escape(path) + r"/{(\w+)}[^{]*", route.path)
        if below is not None:
            outer = {parameter: f"$request.path.{parameter}" for parameter in re.findall(r"{(\w+)}", path)}
            links[name] = {"operationId": name, "parameters": {**outer, below[1]: f"$response.body#{item}/id"}}
    return links


def _item_in(operation: AnyOperation) -> str | None:
    """Where an item of a collection is in the operation's answer: the answer itself, or the first of its items."""
    fields = operation.output.model_fields
    if "items" in fields:
        return "/items/0"
    return "" if "id" in fields and not operation.reads else None
