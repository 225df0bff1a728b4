"""Events: what happened, with the object as it was then, and who is to hear of it."""

from fnmatch import fnmatchcase

from rekomi_mcp.sandbox import API_VERSION
from rekomi_mcp.sandbox.errors import exclusive_parameters
from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.pages import DATED_PAGING, page
from rekomi_mcp.sandbox.params import Boolean, Fields, ListOf, Text
from rekomi_mcp.sandbox.routes import Route, retrieving
from rekomi_mcp.sandbox.shapes import JsonObject, changed_attributes
from rekomi_mcp.sandbox.views import view
from rekomi_mcp.sandbox.webhook_endpoints import listening_endpoints
from rekomi_mcp.sandbox.work import Filter, Work

_NO_REQUEST: JsonObject = {"id": None, "idempotency_key": None}


def emit(work: Work, type: str, item: JsonObject, previous: JsonObject | None = None) -> None:
    """Record an event with a snapshot of the object, and its deliveries to the endpoints that listen."""
    data: JsonObject = {"object": view(work, item)}
    if previous is not None:
        data["previous_attributes"] = previous
    endpoints = listening_endpoints(work, type)
    event: JsonObject = {
        "id": new_id("evt_"),
        "object": "event",
        "api_version": API_VERSION,
        # What fell due while nothing ran is told when it is billed, so that no poller has already passed it.
        "created": max(work.now, work.clock),
        "data": data,
        "livemode": False,
        "pending_webhooks": len(endpoints),
        "request": work.request or _NO_REQUEST,
        "type": type,
    }
    if work.account:
        event["account"] = work.account
    work.add(event)
    seq = work.db.execute("SELECT last_insert_rowid()").fetchone()[0]
    work.db.executemany(
        "INSERT INTO deliveries (event, endpoint, due) VALUES (?, ?, 0)", [(seq, endpoint) for endpoint in endpoints]
    )


def save_and_tell(work: Work, type: str, before: JsonObject, item: JsonObject) -> None:
    """Save a changed object and, if anything a client sees has changed since `before`, emit the event."""
    work.save(item)
    previous = changed_attributes(before, view(work, item))
    if previous:
        emit(work, type, item, previous)


def list_events(work: Work, params: JsonObject) -> JsonObject:
    if "type" in params and "types" in params:
        raise exclusive_parameters("type", "types")
    fields: dict[str, Filter] = {}
    if "types" in params:
        fields["type"] = tuple(params["types"])
    pattern = params.get("type", "*")
    if "*" not in pattern:
        fields["type"] = pattern
    delivered = params.get("delivery_success")

    def keep(event: JsonObject) -> bool:
        matches = fnmatchcase(event["type"], pattern)
        return matches and delivered in (None, event["pending_webhooks"] == 0)

    return page(work, "event", "/v1/events", params, fields, keep)


ROUTES = (
    Route(
        "GET",
        "/v1/events",
        list_events,
        Fields(DATED_PAGING | {"type": Text(), "types": ListOf(Text()), "delivery_success": Boolean()}),
    ),
    retrieving("/v1/events/{id}", "event"),
)
