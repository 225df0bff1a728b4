"""The sandbox beside the tests: in a thread of this process, spoken to over loopback, by our server and by its customers."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import start_blocking_portal

from rekomi_mcp.sandbox.server import running_sandbox

KEY = "sk_test_sandbox_races"


class StripeSide:
    """The sandbox as the world sees it."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self._path = path
        self._http = httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=20)

    def coupons(self) -> list[dict[str, Any]]:
        return self._list("/v1/coupons")

    def promotion_codes(self) -> list[dict[str, Any]]:
        return self._list("/v1/promotion_codes")

    def events(self) -> list[dict[str, Any]]:
        """Newest first."""
        return self._list("/v1/events")

    def create(self, kind: str, **params: Any) -> dict[str, Any]:
        """Make an object as a person does in Stripe's dashboard."""
        return json_of(self._http.post(f"/v1/{kind}", data=params))

    def delete(self, path: str) -> None:
        """Delete an object as a person does in Stripe's dashboard."""
        json_of(self._http.delete(f"/v1/{path}"))

    def happen(self, what: str, **details: Any) -> dict[str, Any]:
        """What happens outside the API: `checkout`, `refund`, `refunds/{id}/fail`, `renew`."""
        return json_of(self._http.post(f"/sandbox/{what}", json=details))

    def keep(self, copy: Path) -> None:
        """Remember everything, in a file."""
        with closing(sqlite3.connect(self._path)) as now, closing(sqlite3.connect(copy)) as kept:
            now.backup(kept)

    def bring_back(self, copy: Path) -> None:
        """Make everything what it was, under the running sandbox."""
        with closing(sqlite3.connect(self._path, timeout=20, isolation_level=None)) as now:
            now.execute("ATTACH ? AS kept", (str(copy),))
            now.execute("BEGIN IMMEDIATE")
            for (table,) in now.execute("SELECT name FROM kept.sqlite_master WHERE type = 'table'").fetchall():
                now.execute(f"DELETE FROM main.{table}")
                now.execute(f"INSERT INTO main.{table} SELECT * FROM kept.{table}")
            now.execute("COMMIT")

    def close(self) -> None:
        self._http.close()

    def _list(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            params = {"limit": 100} | ({"starting_after": found[-1]["id"]} if found else {})
            page = json_of(self._http.get(path, params=params))
            found += page["data"]
            if not page["has_more"]:
                return found


def json_of(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    return answer.json()


@contextmanager
def stripe_side(folder: Path) -> Generator[StripeSide]:
    """A sandbox in a thread of its own, for as long as the block lasts."""
    path = folder / "sandbox.db"
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running_sandbox(path)) as running:
        stripe = StripeSide(running.url, path)
        try:
            yield stripe
        finally:
            stripe.close()
