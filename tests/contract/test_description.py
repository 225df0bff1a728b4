"""The description is what the installed stripe package says, and holds all that the sandbox offers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stripe
from openapi_spec_validator import OpenAPIV31SpecValidator

from rekomi_mcp.gateways.stripe import API_VERSION
from rekomi_mcp.sandbox.api import ROUTES
from rekomi_mcp.sandbox.params import (
    AnyFields,
    Boolean,
    Choice,
    Currency,
    Fields,
    Integer,
    ListOf,
    Metadata,
    Parameter,
    Percentage,
    Range,
    Text,
)
from rekomi_mcp.sandbox.routes import Route
from tests.contract.checks import Checks, JsonObject
from tests.contract.derive import COMMAND, describe, written
from tests.contract.document import PATH, asked, stripe_document

DOCUMENT = stripe_document()


def test_the_description_is_of_the_version_that_is_installed_and_spoken() -> None:
    assert DOCUMENT.version == stripe.api_version == API_VERSION, f"regenerate: `{COMMAND}`"


def test_the_description_is_what_the_installed_package_says() -> None:
    assert PATH.read_text(encoding="utf-8") == written(describe()), f"regenerate: `{COMMAND}`"


def test_the_description_is_openapi() -> None:
    document: dict[str, Any] = describe()
    for name in list(document["components"]["schemas"])[5:]:  # a few are enough to know the form, and ten times faster
        document["components"]["schemas"][name] = {"type": "object"}
    OpenAPIV31SpecValidator(document).validate()


def samples(parameter: Parameter, schema: JsonObject) -> Iterator[Any]:
    """Values that the sandbox takes for a parameter, as a form has them; open names and texts are taken from the schema."""
    match parameter:
        case Text():
            yield next((value for value in _of(schema, "enum", []) if value), "text")
            yield from [""] if parameter.clearable else []
        case Currency():
            yield "usd"
        case Integer():
            yield "1"
        case Percentage():
            yield "2.5"
        case Boolean():
            yield from ("true", "false")
        case Choice():
            yield from parameter.values
        case Metadata():
            yield {"key": "value"}
            yield from [""] if parameter.clearable else []
        case Range():
            yield from ("1", {"gt": "1", "gte": "1", "lt": "1", "lte": "1"})
        case ListOf():
            yield from ({"0": each} for each in samples(parameter.item, _of(schema, "items", {})))
        case AnyFields():
            name, inner = next(iter(_of(schema, "properties", {"any": {}}).items()))
            yield from ({name: each} for each in samples(parameter.value, inner))
        case Fields():
            known = _of(schema, "properties", {})
            yield from (
                {name: each} for name, kind in parameter.fields.items() for each in samples(kind, known.get(name, {}))
            )
        case _:
            raise AssertionError(f"no sample of {parameter}")


def _of(schema: JsonObject, key: str, otherwise: Any) -> Any:
    """What the first of a schema's choices that has a key has there."""
    return next((each[key] for each in schema.get("anyOf", [schema]) if key in each), otherwise)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_sandbox_offers_nothing_that_stripe_does_not_document(route: Route) -> None:
    [operation] = [
        item[route.method.lower()]
        for path, item in DOCUMENT.paths.items()
        if route.ids_in(path.strip("/").split("/")) is not None and route.method.lower() in item
    ]
    schema = asked(operation)
    check = Checks({}, form=True, partial=True).made(schema)
    assert [fault for sample in samples(route.params, schema) for fault in check(sample)] == []
