"""Stripe's API over one case, read only: retrieve, list with filters, expand, and the state as of a delivery."""

from __future__ import annotations

import copy
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import httpx

from tests.cases.case import Case
from tests.contract.document import decoded

JsonObject = dict[str, Any]
Objects = dict[str, dict[str, JsonObject]]
"""By kind and id."""
KINDS = {
    "charges": "charge",
    "checkout/sessions": "checkout.session",
    "coupons": "coupon",
    "credit_notes": "credit_note",
    "customers": "customer",
    "disputes": "dispute",
    "events": "event",
    "invoice_payments": "invoice_payment",
    "invoices": "invoice",
    "payment_intents": "payment_intent",
    "prices": "price",
    "products": "product",
    "promotion_codes": "promotion_code",
    "refunds": "refund",
    "subscriptions": "subscription",
}
PATHS = {kind: path for path, kind in KINDS.items()}
_PATH = re.compile(r"^/v1/(checkout/sessions|\w+)(?:/([^/]+))?$")
_LINES = re.compile(r"^/v1/invoices/([^/]+)/lines$")
_LINES_SHOWN = 10
"""Of an invoice; the others are asked for by themselves."""
_PAGING = ("limit", "starting_after", "ending_before", "expand", "delivery_success")
_LIMITS: dict[str, Callable[[int, int], bool]] = {
    "gte": operator.ge,
    "gt": operator.gt,
    "lte": operator.le,
    "lt": operator.lt,
}


class CaseApi:
    """What Stripe answers. It begins with the state at the end; `as_of` and `before` go back."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._final: Objects = {kind: {each["id"]: each for each in rows} for kind, rows in case.api_state.items()}
        self._now: Objects = self._final

    def before(self) -> None:
        """The state before anything was told."""
        self.as_of(min(delivery.event["created"] for delivery in self._case.deliveries) - 1)

    def delivering(self, n: int) -> None:
        """The state when delivery `n` arrives, counted from 1: the latest moment any delivery so far tells of."""
        self.as_of(max(delivery.event["created"] for delivery in self._case.deliveries[:n]))

    def as_of(self, moment: int) -> None:
        """The state at this moment, as far as events tell of it."""
        self._now = {}
        for kind, object_id, end in self._objects():
            shown = self._shown(kind, end, moment)
            if shown is not None:
                self._now.setdefault(kind, {})[object_id] = shown

    def answer(self, method: str, path: str, query: str) -> tuple[int, JsonObject]:
        """A status and a body."""
        if method == "GET" and (of_invoice := _LINES.match(path)) and of_invoice[1] in self._now.get("invoice", {}):
            return 200, self._lines(of_invoice[1], path, decoded(query))
        found = _PATH.match(path)
        if method != "GET" or found is None or found[1] not in KINDS:
            return 404, _error(f"Unrecognized request URL ({method}: {path}).")
        kind, asked = KINDS[found[1]], decoded(query)
        wanted = _texts(asked.get("expand"))
        if found[2] is None:
            body = self._page(kind, path, asked)
        elif found[2] in self._now.get(kind, {}):
            body = _as_shown(copy.deepcopy(self._now[kind][found[2]]))
        else:
            return 404, _error(f"No such {kind}: '{found[2]}'", code="resource_missing", param="id")
        for each in wanted:
            self._expand(body, each)
        return 200, body

    def handle(self, request: httpx.Request) -> httpx.Response:
        """For `httpx.MockTransport`."""
        status, body = self.answer(request.method, request.url.path, request.url.query.decode())
        return httpx.Response(status, json=body, headers={"request-id": "req_case"})

    def _objects(self) -> list[tuple[str, str, JsonObject]]:
        """Every object that there is at the end, and those that were deleted before."""
        rows = [(kind, each, shown) for kind, objects in self._final.items() for each, shown in objects.items()]
        for event in self._final["event"].values():
            about = event["data"]["object"]
            if about["id"] not in self._final.get(about["object"], {}):
                rows.append((about["object"], about["id"], about))
        return rows

    def _shown(self, kind: str, end: JsonObject, moment: int) -> JsonObject | None:
        """An object as it was then; None when it was not there."""
        if end.get("created", end.get("start", 0)) > moment:
            return None
        told = [
            each for each in self._events_about(kind, end["id"]) if each["api_version"] == self._case.seeds.api_version
        ]
        past = [each for each in told if each["created"] <= moment]
        if past:
            gone = past[-1]["type"].endswith(".deleted") and kind != "subscription"
            return None if gone else {**end, **past[-1]["data"]["object"]}
        if told:
            return {**end, **told[0]["data"].get("previous_attributes", {}), **_revived(told[0])}
        return {**end, "active": True} if kind == "promotion_code" and self._coupon_goes(end, moment) else end

    def _events_about(self, kind: str, object_id: str) -> list[JsonObject]:
        events = self._final["event"].values()
        return [
            each
            for each in events
            if each["data"]["object"]["object"] == kind and each["data"]["object"]["id"] == object_id
        ]

    def _coupon_goes(self, promotion_code: JsonObject, moment: int) -> bool:
        """Whether the code's coupon is deleted later: that takes the code along without another event."""
        told = self._events_about("coupon", promotion_code["promotion"]["coupon"])
        return any(each["type"] == "coupon.deleted" and each["created"] > moment for each in told)

    def _page(self, kind: str, path: str, asked: JsonObject) -> JsonObject:
        # Newest first; within a second the later row of the file is the newer one.
        rows = list(self._now.get(kind, {}).values())[::-1]
        rows.sort(key=lambda each: -each.get("created", 0))
        filters = {name: value for name, value in asked.items() if name not in _PAGING}
        rows = [each for each in rows if all(_fits(kind, each, *item) for item in filters.items())]
        ids, limit = [each["id"] for each in rows], int(asked.get("limit", 10))
        after, before = asked.get("starting_after"), asked.get("ending_before")
        if before is not None:
            newer = rows[: ids.index(before)]
            rows, more = newer[-limit:], len(newer) > limit
        else:
            older = rows[ids.index(after) + 1 :] if after is not None else rows
            rows, more = older[:limit], len(older) > limit
        shown = [_as_shown(copy.deepcopy(each)) for each in rows]
        return {"object": "list", "data": shown, "has_more": more, "url": path}

    def _lines(self, invoice_id: str, path: str, asked: JsonObject) -> JsonObject:
        """All the lines of an invoice, which do not change, from where they are asked for on."""
        rows = self._final["invoice"][invoice_id]["lines"]["data"]
        ids, limit = [each["id"] for each in rows], int(asked.get("limit", _LINES_SHOWN))
        begin = ids.index(asked["starting_after"]) + 1 if "starting_after" in asked else 0
        shown = copy.deepcopy(rows[begin : begin + limit])
        body = {"object": "list", "data": shown, "has_more": begin + limit < len(rows), "url": path}
        for each in _texts(asked.get("expand")):
            self._expand(body, each)
        return body

    def _expand(self, owner: Any, path: str) -> None:
        """Put objects where their ids stand, along `a.b.c`."""
        if isinstance(owner, list):
            rows = cast(list[Any], owner)
            for position, each in enumerate(rows):
                rows[position] = self._whole(each)
                self._expand(rows[position], path)
        if not isinstance(owner, dict) or not path:
            return
        name, _, rest = path.partition(".")
        holder = cast(JsonObject, owner)
        self._include(holder, name)
        if name in holder:
            holder[name] = self._whole(holder[name])
            self._expand(holder[name], rest)

    def _include(self, owner: JsonObject, name: str) -> None:
        """The lists that an object has only when they are asked for."""
        if name in owner:
            return
        for kind, list_name, row_kind in (("invoice", "payments", "invoice_payment"), ("charge", "refunds", "refund")):
            if (owner.get("object"), name) == (kind, list_name):
                rows = [each for each in self._now.get(row_kind, {}).values() if each[kind] == owner["id"]]
                url = f"/v1/{PATHS[row_kind]}?{kind}={owner['id']}"
                owner[name] = {"object": "list", "data": copy.deepcopy(rows), "has_more": False, "url": url}

    def _whole(self, value: Any) -> Any:
        """The object of an id, when the value is one that is known."""
        if isinstance(value, str):
            for objects in self._now.values():
                if value in objects:
                    return copy.deepcopy(objects[value])
        return value


def _fits(kind: str, row: JsonObject, name: str, wanted: Any) -> bool:
    """Whether a row passes one filter of a list."""
    match kind, name:
        case "invoice_payment", "payment":
            return row["payment"].get("payment_intent") == wanted.get("payment_intent")
        case "invoice", "subscription":
            parent = row["parent"]
            return parent is not None and parent["subscription_details"]["subscription"] == wanted
        case "promotion_code", "coupon":
            return row["promotion"]["coupon"] == wanted
        case "event", "types":
            return row["type"] in _texts(wanted)
        case "event", "type":
            return re.fullmatch(re.escape(wanted).replace(r"\*", ".*"), row["type"]) is not None
        case _, "created" if isinstance(wanted, dict):
            limits = cast(dict[str, str], wanted)
            return all(_LIMITS[bound](row["created"], int(limit)) for bound, limit in limits.items())
        case _:
            return str(row.get(name)).lower() == str(wanted).lower()


def _as_shown(body: JsonObject) -> JsonObject:
    lines = cast(list[JsonObject], body["lines"]["data"] if body.get("object") == "invoice" else [])
    if len(lines) > _LINES_SHOWN:
        body["lines"] = {**body["lines"], "data": lines[:_LINES_SHOWN], "has_more": True}
    return body


def _texts(value: Any) -> list[str]:
    """A list as a form has it."""
    return list(cast(Mapping[str, str], value).values()) if isinstance(value, dict) else []


def _revived(event: JsonObject) -> JsonObject:
    """What a deletion says of an object that was not so before."""
    return {"valid": True} if event["type"] == "coupon.deleted" else {}


def _error(message: str, **more: str) -> JsonObject:
    return {"error": {"type": "invalid_request_error", "message": message, **more}}
