"""What a Stripe object is inside the sandbox: JSON, with at most one private key."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

JsonObject: TypeAlias = dict[str, Any]
"""One JSON object. Its shape is Stripe's, held by the tests against the real client rather than by Python types."""

PRIVATE: Final = "_"
"""The one key of a stored object that Stripe does not have: what the sandbox must remember and never shows."""


def notes(item: JsonObject) -> JsonObject:
    """The private notes of a stored object, created on first use."""
    return item.setdefault(PRIVATE, {})


def list_of(data: list[JsonObject], url: str) -> JsonObject:
    """Stripe's envelope around several objects."""
    return {"object": "list", "data": data, "has_more": False, "url": url}


def changed_attributes(before: Mapping[str, Any], after: Mapping[str, Any]) -> JsonObject:
    """The old values of what differs, as `previous_attributes` shows them: hashes key by key, the rest whole."""
    previous: JsonObject = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            previous[key] = changed_attributes(cast(JsonObject, old), cast(JsonObject, new))
        else:
            previous[key] = old
    return previous
