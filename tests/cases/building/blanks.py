"""Stripe's objects with every field they have, before anything has happened to them."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

JsonObject = dict[str, Any]
PATH = Path(__file__).parent / "blanks.json"


@cache
def _blanks() -> dict[str, JsonObject]:
    return json.loads(PATH.read_text(encoding="utf-8"))


def blank(kind: str, **fields: Any) -> JsonObject:
    """A new object of this kind with these fields filled in; a field that the kind does not have is a mistake."""
    made = copy.deepcopy(_blanks()[kind])
    unknown = fields.keys() - made.keys()
    if unknown:
        raise KeyError(f"a {kind} has no {', '.join(sorted(unknown))}")
    return {**made, **fields}
