"""A story: what happens in a shop, and, written down by hand, what affiliates earn by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.cases.building import offers
from tests.cases.building.blanks import JsonObject
from tests.cases.building.offers import Code
from tests.cases.building.world import ACCOUNT, API_VERSION, World

JANE = "aff_jane"
BOB = "aff_bob"
Tell = Callable[["Story"], None]


class Story:
    """One case while it is told."""

    def __init__(self, name: str, seed: str) -> None:
        self.name = name
        self.shop = World(seed)
        self.what = ""
        self.recurring: str | JsonObject = "forever"
        self.rekomi: JsonObject = {}
        """What our product knows beyond Stripe: clicks, links, leads, settings."""
        self._traps: list[str] = []
        self._codes: list[JsonObject] = []
        self._expected: dict[str, list[JsonObject]] = {"conversions": [], "clawbacks": [], "final": []}

    def tells(self, what: str, *traps: str) -> None:
        """What the case is about, and what a hasty implementation does wrong."""
        self.what, self._traps = what, list(traps)

    def coupon(self, coupon_id: str, *, duration: str = "once", months: int | None = None, **off: Any) -> JsonObject:
        return offers.coupon(self.shop, coupon_id, duration=duration, months=months, **off)

    def code(self, text: str, affiliate: str | None, coupon: JsonObject | None = None, **seed: Any) -> Code:
        """A promotion code, of an affiliate when one is named; 20 % off once unless another coupon is given."""
        known = self.shop.objects.get("coupon", {})
        made = offers.promotion_code(
            self.shop, coupon or known.get("AFF20O") or self.coupon("AFF20O", percent_off=20.0), text, **seed
        )
        if affiliate is not None:
            self.owns(affiliate, made)
        return made

    def owns(self, affiliate: str, code: Code, **seed: Any) -> None:
        """This code is the affiliate's."""
        made = code.promotion
        code_id = f"code_{made['code'].lower()}"
        if any(known["id"] == code_id for known in self._codes):
            code_id += f"_{len(self._codes) + 1}"
        made["metadata"] = {"affiliate_id": affiliate, "code_id": code_id}
        self._codes.append(
            {
                "id": code_id,
                "code": made["code"],
                "affiliate": affiliate,
                "promotion_code": made["id"],
                "coupon": code.coupon["id"],
                **seed,
            }
        )

    def earns(
        self,
        affiliate: str,
        sale: JsonObject,
        *,
        net: int,
        commission: int,
        kind: str = "first",
        code: Code | None = None,
        by: str | None = None,
    ) -> None:
        """Expect one conversion: who earns what by this invoice or session, and on what grounds."""
        source = "invoice" if sale["object"] == "invoice" else "checkout_session"
        self._expected["conversions"].append(
            {
                "source": source,
                "source_id": sale["id"],
                "affiliate": affiliate,
                "promotion_code": code.id if code else None,
                "attributed_by": by or ("promotion_code" if code else "subscription"),
                "kind": kind,
                "currency": sale["currency"],
                "net_amount": net,
                "commission": commission,
            }
        )

    def takes_back(self, sale: JsonObject, cause: JsonObject, amount: int) -> None:
        """Expect one step of the commission: negative when it goes, positive when it comes back."""
        self._expected["clawbacks"].append(
            {"source_id": sale["id"], "cause": cause["object"], "cause_id": cause["id"], "amount": amount}
        )

    def leaves(self, affiliate: str, currency: str, commission_net: int) -> None:
        """Expect this much commission in the end."""
        self._expected["final"].append({"affiliate": affiliate, "currency": currency, "commission_net": commission_net})

    def code_is(self, code: Code, *, active: bool) -> None:
        """Expect our record of a code to say whether it can be redeemed."""
        self._expected.setdefault("codes", []).append({"promotion_code": code.id, "active": active})

    def by_now(self, *left: tuple[str, str, int], held: tuple[JsonObject, ...] = ()) -> None:
        """Expect these sums, and these sales on hold, once all that was delivered so far is worked off."""
        self._expected.setdefault("checkpoints", []).append(
            {
                "after": len(self.shop.deliveries),
                "final": [{"affiliate": a, "currency": c, "commission_net": net} for a, c, net in left],
                "held": [sale["id"] for sale in held],
            }
        )

    def flags(self, sale: JsonObject, affiliate: str, reason: str) -> None:
        """Expect a sale that is noted for an affiliate and not paid."""
        self._expected.setdefault("flagged", []).append(
            {"source_id": sale["id"], "affiliate": affiliate, "reason": reason}
        )

    def files(self) -> dict[str, str]:
        """The folder of the case: what each file holds, by its path."""
        paths = {
            event["id"]: f"events/{position:02}_{event['type']}.json"
            for position, event in enumerate(self._all_events(), start=1)
        }
        files = {paths[event["id"]]: event for event in self._all_events()}
        case: JsonObject = {
            "case": self.name,
            "group": "rekomi" if self.rekomi else "core",
            "api_version": API_VERSION,
            "account": ACCOUNT,
            "commission": {
                "type": "percent",
                "value": "20",
                "base": "net of discount and tax",
                "rounding": "half_up",
                "recurring": self.recurring,
            },
            "affiliates": [{"id": JANE, "name": "Jane"}, {"id": BOB, "name": "Bob"}],
            "codes": self._codes,
            **({"rekomi": self.rekomi} if self.rekomi else {}),
        }
        contents: dict[str, Any] = {
            **files,
            "case.json": case,
            "deliveries.json": self._deliveries(paths),
            "api_state.json": self.shop.state(),
            "expected.json": {"case": self.name, "what": self.what, "traps": self._traps, **self._expected},
        }
        return {path: _written(content) for path, content in sorted(contents.items())}

    def _all_events(self) -> list[JsonObject]:
        """Every event, those of the list first, then those that are delivered only."""
        listed = {event["id"]: event for event in self.shop.events}
        return list({**listed, **{event["id"]: event for event in self.shop.deliveries}}.values())

    def _deliveries(self, paths: dict[str, str]) -> list[JsonObject]:
        rows: list[JsonObject] = []
        for n, event in enumerate(self.shop.deliveries, start=1):
            again = any(row["event"] == event["id"] for row in rows)
            row = {"n": n, "file": paths[event["id"]], "event": event["id"], "type": event["type"]}
            rows.append({**row, "duplicate": True} if again else row)
        return rows


def told(name: str, tell: Tell) -> Story:
    """The story, from beginning to end."""
    # The ids depend on what the story is called, not on its number.
    story = Story(name, tell.__name__)
    tell(story)
    assert story.what, f"{name} does not say what it is about"
    return story


def _written(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
