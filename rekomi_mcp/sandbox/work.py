"""One unit of work: everything a request reads and writes, inside one transaction."""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rekomi_mcp.sandbox.errors import missing_object
from rekomi_mcp.sandbox.shapes import PRIVATE, JsonObject

Filter = str | int | float | bool | tuple[str, ...] | None
"""What a field must equal; a tuple lists alternatives."""


class Work:
    """Objects of one account, at one moment of sandbox time.

    Attributes:
        account: the connected account the request acts for, "" for the sandbox's own.
        clock: unix time on the sandbox's clock.
        now: the moment this work happens at. It differs from `clock` while something that fell due is billed.
        request: `{id, idempotency_key}` for events caused through the API, else None.
    """

    def __init__(self, db: sqlite3.Connection, account: str, clock: int, request: JsonObject | None) -> None:
        self.db = db
        self.account = account
        self.clock = clock
        self.now = clock
        self.request = request

    def acting_for(self, account: str, moment: int) -> "Work":
        """The same transaction, for another account or at another moment; nobody asked for it through the API."""
        other = Work(self.db, account, self.clock, None)
        other.now = moment
        return other

    def find(self, type: str, id: str) -> JsonObject | None:
        """The object, or None."""
        query = "SELECT body FROM objects WHERE account = ? AND type = ? AND id = ?"
        row: tuple[str] | None = self.db.execute(query, (self.account, type, id)).fetchone()
        return json.loads(row[0]) if row else None

    def get(self, type: str, id: str, param: str, *, in_path: bool = False) -> JsonObject:
        """The object an id in `param` names.

        Raises:
            ApiError: resource_missing.
        """
        found = self.find(type, id)
        if found is None:
            raise missing_object(type, id, param=param, in_path=in_path)
        return found

    def add(self, item: JsonObject) -> None:
        self.db.execute(
            "INSERT INTO objects (account, type, id, created, due, body) VALUES (?, ?, ?, ?, ?, ?)",
            (self.account, item["object"], item["id"], item.get("created", self.now), _due(item), _dump(item)),
        )

    def save(self, item: JsonObject) -> None:
        self.db.execute(
            "UPDATE objects SET body = ?, due = ? WHERE account = ? AND type = ? AND id = ?",
            (_dump(item), _due(item), self.account, item["object"], item["id"]),
        )

    def remove(self, item: JsonObject) -> None:
        query = "DELETE FROM objects WHERE account = ? AND type = ? AND id = ?"
        self.db.execute(query, (self.account, item["object"], item["id"]))

    def where(
        self,
        type: str,
        fields: Mapping[str, Filter],
        *,
        condition: str = "1",
        values: tuple[Any, ...] = (),
        oldest_first: bool = False,
    ) -> Iterator[JsonObject]:
        """Every object whose fields, by dotted name, have these values; newest first, read as they are asked for.

        `type` and the names in `fields` stand in the SQL itself, so that its partial indexes apply: they come from
        our code and never from a request.
        """
        clauses = [f"account = ? AND type = '{type}'"]
        bound: list[Any] = [self.account]
        for name, value in fields.items():
            column = f"json_extract(body, '$.{name}')"
            if value is None:
                clauses.append(f"{column} IS NULL")
            elif isinstance(value, tuple):
                clauses.append(f"{column} IN ({', '.join('?' * len(value))})")
                bound.extend(value)
            else:
                clauses.append(f"{column} = ?")
                bound.append(value)
        direction = "ASC" if oldest_first else "DESC"
        query = (
            f"SELECT body FROM objects WHERE {' AND '.join(clauses)} AND {condition}"
            f" ORDER BY created {direction}, seq {direction}"
        )
        for (body,) in self.db.execute(query, (*bound, *values)):
            yield json.loads(body)

    def turn_clock(self, to: int) -> None:
        """Move the sandbox's clock forward, for every process; it never goes back."""
        if to <= self.clock:
            return
        self.clock = to
        query = "INSERT OR REPLACE INTO settings (name, value) VALUES ('clock_offset_seconds', ?)"
        self.db.execute(query, (to - int(time.time()),))


def _due(item: JsonObject) -> int | None:
    """When time alone will change this object: a period's end, a session's expiry."""
    return item.get(PRIVATE, {}).get("due")


def _dump(item: JsonObject) -> str:
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"))
