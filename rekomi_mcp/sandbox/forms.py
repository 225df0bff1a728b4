"""Stripe's form encoding, both ways: `a[b][0]=c` as nested hashes, and JSON as if it had been such a form."""

from typing import TypeAlias, cast
from urllib.parse import parse_qsl

from rekomi_mcp.sandbox.errors import InvalidRequest

Raw: TypeAlias = str | dict[str, "Raw"]
"""A parameter as it arrives: text, or a hash of parameters. An array is a hash with the keys 0, 1, 2…"""


def decode(encoded: str) -> dict[str, Raw]:
    """The parameters of a query string or form body."""
    root: dict[str, Raw] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        head, *rest = name.replace("]", "").split("[")
        hash, key = root, head
        for part in rest:
            inner = hash.setdefault(key, {})
            if isinstance(inner, str):
                raise InvalidRequest(f"Invalid object: {name}", param=name)
            hash, key = inner, part or str(len(inner))
        hash[key] = value
    return root


def from_json(value: object) -> Raw | None:
    """A JSON value as the form parameter that would mean the same; None for null, which is as good as absent."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return from_json(dict(enumerate(cast(list[object], value))))
    if isinstance(value, dict):
        inner = {str(key): from_json(each) for key, each in cast(dict[object, object], value).items()}
        return {key: each for key, each in inner.items() if each is not None}
    return str(value)
