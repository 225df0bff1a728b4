"""Load a case's folder: what to seed, what is delivered, what Stripe answers, and what must come out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JsonObject = dict[str, Any]
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Affiliate:
    id: str
    name: str
    email: str | None
    """Set where a story depends on it."""


@dataclass(frozen=True)
class SeedCode:
    id: str
    code: str
    affiliate: str
    promotion_code: str
    coupon: str
    adopt_after: int
    """How many deliveries come before the code is adopted: 0 almost always."""


@dataclass(frozen=True)
class Seeds:
    """What the server knows before the first delivery."""

    account: str
    api_version: str
    percent: str
    recurring_months: int | None
    """Renewals that earn; None for every one."""
    recurring_delay_invoices: int
    affiliates: tuple[Affiliate, ...]
    codes: tuple[SeedCode, ...]
    rekomi: JsonObject
    """What our product adds; empty in most cases. See the README beside this file."""


@dataclass(frozen=True)
class Delivery:
    """One webhook."""

    n: int
    type: str
    event_id: str
    duplicate: bool
    """The same event came before."""
    body: bytes
    """As it arrives; sign these bytes."""

    @property
    def event(self) -> JsonObject:
        return json.loads(self.body)


@dataclass(frozen=True)
class Expected:
    """What must come out. Rows are as they stand in the file."""

    conversions: tuple[JsonObject, ...]
    clawbacks: tuple[JsonObject, ...]
    final: tuple[JsonObject, ...]
    codes: tuple[JsonObject, ...]
    checkpoints: tuple[JsonObject, ...]
    flagged: tuple[JsonObject, ...]

    @property
    def final_net(self) -> dict[tuple[str, str], int]:
        """Net commission by affiliate and currency."""
        return {(row["affiliate"], row["currency"]): row["commission_net"] for row in self.final}


@dataclass(frozen=True)
class Case:
    name: str
    group: str
    """`core` where the samples' rule says it all, `rekomi` where the case needs more than Stripe knows."""
    seeds: Seeds
    deliveries: tuple[Delivery, ...]
    api_state: dict[str, list[JsonObject]]
    """Every object of Stripe's at the end, by kind."""
    expected: Expected

    @staticmethod
    def load(folder: Path) -> Case:
        """Read a folder of the samples or of our own cases."""
        case = _read(folder / "case.json")
        expected = _read(folder / "expected.json")
        deliveries = [
            Delivery(
                row["n"], row["type"], row["event"], row.get("duplicate", False), (folder / row["file"]).read_bytes()
            )
            for row in _read(folder / "deliveries.json")
        ]
        names = ("conversions", "clawbacks", "final", "codes", "checkpoints", "flagged")
        return Case(
            name=case["case"],
            group=case["group"],
            seeds=_seeds(case),
            deliveries=tuple(deliveries),
            api_state=_read(folder / "api_state.json"),
            expected=Expected(**{name: tuple(expected.get(name, ())) for name in names}),
        )


def folders() -> Iterator[Path]:
    """Every case: the samples first, then our own."""
    yield from sorted((HERE / "samples").iterdir())
    yield from sorted((HERE / "own").iterdir())


def _seeds(case: JsonObject) -> Seeds:
    rekomi, recurring = case.get("rekomi", {}), case["commission"]["recurring"]
    limits: JsonObject = {} if recurring == "forever" else recurring
    emails = rekomi.get("affiliateEmails", {})
    return Seeds(
        account=case["account"],
        api_version=case["api_version"],
        percent=case["commission"]["value"],
        recurring_months=limits.get("months"),
        recurring_delay_invoices=limits.get("delay_invoices", 0),
        affiliates=tuple(Affiliate(each["id"], each["name"], emails.get(each["id"])) for each in case["affiliates"]),
        codes=tuple(_code(each) for each in case["codes"]),
        rekomi=rekomi,
    )


def _code(row: JsonObject) -> SeedCode:
    return SeedCode(
        id=row["id"],
        code=row["code"],
        affiliate=row["affiliate"],
        promotion_code=row["promotion_code"],
        coupon=row["coupon"],
        adopt_after=row.get("adopt_after", 0),
    )


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
