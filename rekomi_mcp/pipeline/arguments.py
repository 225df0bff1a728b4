"""Turn a caller's arguments into an operation's input, or into a refusal that says how to mend them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rekomi_mcp.domain.errors import InvalidInput, UnsupportedCurrency
from rekomi_mcp.operation import AnyOperation, Input

_REFUSAL_OF_TYPE = {"unsupported_currency": UnsupportedCurrency}


def parse_arguments(operation: AnyOperation, arguments: Mapping[str, Any] | Input) -> Input:
    """Validate arguments against the operation's input.

    Raises:
        InvalidInput: with the first thing that is wrong, the field's wire name and, for a misspelt name, the right one.
    """
    if isinstance(arguments, Input):
        return arguments
    _refuse_unstorable(arguments)
    try:
        return operation.input.model_validate(arguments)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        # A misspelt name is also a missing one; the misspelling is what the caller needs to hear of.
        misspelt = (e for e in errors if e["type"] == "extra_forbidden")
        raise _refusal(operation, next(misspelt, errors[0])) from None


def _refuse_unstorable(value: object, field: str | None = None) -> None:
    """NUL and lone surrogates are in no text that a person wrote, and databases do not take them."""
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise InvalidInput("The text holds a character that cannot be stored. Leave it out.", field=field)
    elif isinstance(value, Mapping):
        for name, item in cast(Mapping[object, object], value).items():
            _refuse_unstorable(name, field)
            _refuse_unstorable(item, field or str(name))
    elif isinstance(value, list):
        for item in cast(list[object], value):
            _refuse_unstorable(item, field)


def _refusal(operation: AnyOperation, error: ErrorDetails) -> InvalidInput:
    names = [wire_name(operation, name) for name in operation.input.model_fields]
    # A rule over several arguments says in its context which one is at fault.
    field = ".".join(str(part) for part in error["loc"]) or error.get("ctx", {}).get("field")
    kind = error["type"]
    if kind == "extra_forbidden":
        return InvalidInput(_unknown(operation, str(error["loc"][-1]), names), field=field)
    if kind == "missing":
        return InvalidInput(f"{field} is required.", field=field)
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    text = f"{field}: {message}." if error["loc"] else f"{message}."
    return _REFUSAL_OF_TYPE.get(kind, InvalidInput)(text, field=field)


def _unknown(operation: AnyOperation, given: str, names: list[str]) -> str:
    if not names:
        return f"{operation.name} takes no arguments; leave {given[:60]!r} out."
    close = difflib.get_close_matches(given.replace("_", "").lower(), [n.lower() for n in names], n=1, cutoff=0.6)
    if close:
        return f"Unknown argument {given[:60]!r}; did you mean {next(n for n in names if n.lower() == close[0])}?"
    return f"Unknown argument {given[:60]!r}. {operation.name} takes: {', '.join(names)}."


def wire_name(operation: AnyOperation, name: str) -> str:
    """How a field is written by callers."""
    return operation.input.model_fields[name].alias or name
