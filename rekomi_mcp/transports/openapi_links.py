"""OpenAPI links: where the ids of an answer can be used, told from the routes alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rekomi_mcp.operation import AnyOperation, Route

Link = dict[str, object]


def links_from(operation: AnyOperation, path: str, others: Sequence[tuple[AnyOperation, Route]]) -> dict[str, Link]:
    """Links from the answer of an operation at a path to the operations that take an id out of it.

    A path that goes on from a collection's with one parameter takes the id of an item of that collection, and so does a
    query parameter of that name.

    Args:
        others: every operation with its route.
    """
    item = _item_in(operation)
    if item is None:
        return {}
    found = f"$response.body#{item}/id"
    known = {name: f"$request.path.{name}" for name in re.findall(r"{(\w+)}", path)}
    links: dict[str, Link] = {}
    ids: set[str] = set()
    for other, route in others:
        below = re.fullmatch(re.escape(path) + r"/{(\w+)}([^{]*)(.*)", route.path)
        if below is not None:
            ids.add(below[1])
        # The parameters behind the item's are ids of other things, which this answer does not hold.
        if below is not None and not below[3]:
            links[other.name] = {"operationId": other.name, "parameters": {**known, below[1]: found}}
    for other, route in others:
        taken = ids & {str(field.alias) for field in other.input.model_fields.values()}
        # A part of a body is nothing that OpenAPI can link to.
        if "{" not in route.path and not route.has_body and taken:
            links[other.name] = {"operationId": other.name, "parameters": dict.fromkeys(taken, found)}
    return links


def _item_in(operation: AnyOperation) -> str | None:
    """Where an item of a collection is in the operation's answer: the answer itself, or the first of its items."""
    fields = operation.output.model_fields
    if "items" in fields:
        return "/items/0"
    return "" if "id" in fields and not operation.reads else None
