"""A tiny Stripe: its objects, its clock, and the events it tells, all of them the same on every run."""

from __future__ import annotations

import copy
import hashlib
import string
from typing import Any

from tests.cases.building.blanks import JsonObject, blank

API_VERSION = "2026-10-28.endive"
ACCOUNT = "acct_1QwErTQbX7LkA2NdZ"
START = 1793620800
DAY = 86400
MONTH = 30 * DAY
_LETTERS = string.digits + string.ascii_letters
_LINES_SHOWN = 10


class World:
    """What Stripe knows in one story. Objects are kept by kind and id in the order in which they came to be."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.now = START
        self.objects: dict[str, dict[str, JsonObject]] = {}
        self.events: list[JsonObject] = []
        """Every event, oldest first, as the list of events has them."""
        self.deliveries: list[JsonObject] = []
        """The events in the order in which they are delivered."""
        self._ids = 0

    def new_id(self, prefix: str) -> str:
        """An id that looks like Stripe's and depends on nothing but the story and what came before."""
        self._ids += 1
        digest = hashlib.sha256(f"{self.name} {self._ids}".encode()).digest()
        return prefix + "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:20])

    def days(self, count: int) -> None:
        """Let days pass."""
        self.now += count * DAY

    def add(self, kind: str, prefix: str = "", **fields: Any) -> JsonObject:
        """A new object, made now unless its fields say otherwise; the prefix of its id is needed when they name none."""
        made = blank(kind, **fields)
        if not made["id"]:
            made["id"] = self.new_id(prefix)
        if made.get("created") == 0:
            made["created"] = self.now
        self.keep(made)
        return made

    def keep(self, made: JsonObject) -> None:
        """Let the API answer with this object."""
        self.objects.setdefault(made["object"], {})[made["id"]] = made

    def get(self, kind: str, object_id: str) -> JsonObject:
        return self.objects[kind][object_id]

    def all(self, kind: str) -> list[JsonObject]:
        return list(self.objects.get(kind, {}).values())

    def tell(self, type: str, about: JsonObject, previous: JsonObject | None = None) -> JsonObject:
        """An event about an object as it is now, delivered right away."""
        data: JsonObject = {"object": _as_shown(copy.deepcopy(about))}
        if previous is not None:
            data["previous_attributes"] = previous
        event = blank(
            "event",
            id=self.new_id("evt_1"),
            api_version=API_VERSION,
            created=self.now,
            data=data,
            type=type,
        )
        self.events.append(event)
        self.deliveries.append(event)
        return event

    def change(self, type: str, about: JsonObject, **fields: Any) -> JsonObject:
        """Change an object and tell what it was before."""
        previous = {name: copy.deepcopy(about[name]) for name in fields}
        about.update(fields)
        return self.tell(type, about, previous)

    def delete(self, type: str, about: JsonObject) -> JsonObject:
        """Forget an object and tell what it was."""
        del self.objects[about["object"]][about["id"]]
        return self.tell(type, about)

    def deliver_again(self, *events: JsonObject) -> None:
        """The same events once more, with the same ids."""
        self.deliveries.extend(events)

    def deliver_in_order(self, *events: JsonObject) -> None:
        """Let all that was told arrive in this order instead."""
        assert sorted(e["id"] for e in events) == sorted(e["id"] for e in self.deliveries), "name every delivery"
        self.deliveries = list(events)

    def state(self) -> dict[str, list[JsonObject]]:
        """Every object as it is at the end, by kind."""
        kinds = {kind: list(objects.values()) for kind, objects in sorted(self.objects.items()) if objects}
        return {**kinds, "event": self.events}


def _as_shown(about: JsonObject) -> JsonObject:
    """An invoice shows its first lines; all of them are asked for by themselves."""
    if about["object"] == "invoice" and len(lines := about["lines"]["data"]) > _LINES_SHOWN:
        about["lines"] |= {"data": lines[:_LINES_SHOWN], "has_more": True}
    return about
