"""Lists, newest first, in pages."""

from collections.abc import Callable, Mapping
from typing import Any

from rekomi_mcp.sandbox.errors import exclusive_parameters, missing_object
from rekomi_mcp.sandbox.params import Fields, Integer, Parameter, Range, Text
from rekomi_mcp.sandbox.routes import Route
from rekomi_mcp.sandbox.shapes import JsonObject, list_of
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.work import Filter, Work

_DEFAULT_LIMIT = 10
_MOST = 100
_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

PAGING: dict[str, Parameter] = {
    "limit": Integer(),
    "starting_after": Text(),
    "ending_before": Text(),
}
PART_PAGING: dict[str, Parameter] = {"limit": Integer(), "starting_after": Text()}
DATED_PAGING: dict[str, Parameter] = PAGING | {"created": Range()}


def page(
    work: Work,
    type: str,
    url: str,
    params: JsonObject,
    fields: Mapping[str, Filter],
    keep: Callable[[JsonObject], bool] | None = None,
) -> JsonObject:
    """One page of the objects of a type.

    Args:
        fields: what stored fields must equal, by dotted name.
        keep: a further condition on the object as shown, for what the database does not know.
    """
    condition, values, backwards = _position(work, type, params)
    for name, moment in params.get("created", {}).items():
        condition += f" AND created {_COMPARISONS[name]} ?"
        values += (moment,)
    limit = _limit(params)
    found: list[JsonObject] = []
    for item in work.where(type, fields, condition=condition, values=values, oldest_first=backwards):
        shown = view(work, item)
        if keep is None or keep(shown):
            found.append(shown)
        if len(found) > limit:
            break
    data = found[:limit]
    return list_of(data[::-1] if backwards else data, url) | {"has_more": len(found) > limit}


def listing(
    path: str, type: str, filters: Mapping[str, tuple[Parameter, str]] | None = None, *, dated: bool = True
) -> Route:
    """GET of a list whose filters are plain comparisons: parameter name -> (what it may be, stored field)."""
    chosen = filters or {}

    def list_all(work: Work, params: JsonObject) -> JsonObject:
        fields: dict[str, Any] = {field: params[name] for name, (_, field) in chosen.items() if name in params}
        return page(work, type, path, params, fields)

    paging = DATED_PAGING if dated else PAGING
    return Route("GET", path, list_all, Fields(paging | {name: kind for name, (kind, _) in chosen.items()}))


def page_of_parts(parts: list[JsonObject], url: str, params: JsonObject) -> JsonObject:
    """One page of what an object consists of, in its own order: lines of an invoice, items of a session."""
    start = 0
    if after := params.get("starting_after"):
        start = next((index + 1 for index, part in enumerate(parts) if part["id"] == after), len(parts))
    end = start + _limit(params)
    return list_of(parts[start:end], url) | {"has_more": end < len(parts)}


def _limit(params: JsonObject) -> int:
    """Stripe takes a limit outside 1 to 100 for the nearest one it allows."""
    return min(max(params.get("limit", _DEFAULT_LIMIT), 1), _MOST)


def _position(work: Work, type: str, params: JsonObject) -> tuple[str, tuple[Any, ...], bool]:
    """Where the page begins: a condition on (created, seq), its values, and whether it is read backwards."""
    cursors = [name for name in ("starting_after", "ending_before") if name in params]
    if len(cursors) == 2:
        raise exclusive_parameters("ending_before", "starting_after")
    if not cursors:
        return "1", (), False
    name = cursors[0]
    query = "SELECT created, seq FROM objects WHERE account = ? AND type = ? AND id = ?"
    row: tuple[int, int] | None = work.db.execute(query, (work.account, type, params[name])).fetchone()
    if row is None:
        raise missing_object(type, params[name], param=name)
    backwards = name == "ending_before"
    return f"(created, seq) {'>' if backwards else '<'} (?, ?)", row, backwards
