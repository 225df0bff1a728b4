"""Turn a caller's arguments into an operation's input, or into a refusal that says how to mend them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rekomi_mcp.domain.errors import InvalidInput, UnsupportedCurrency
from rekomi_mcp.operation import AnyOperation, Input

MAX_NAME_LENGTH = 60
MAX_DEPTH = 8
MAX_ITEMS = 1000
"""No argument comes near these; what is beyond them is not worth a look at each item."""
MAX_PLAIN_ARGUMENTS, MAX_PLAIN_TEXT = 20, 1000
"""How many arguments, of how many characters, the event loop may read. No brief operation takes as many or as long ones."""
_REFUSAL_OF_TYPE = {"unsupported_currency": UnsupportedCurrency}


def parse_arguments(
    operation: AnyOperation, arguments: Mapping[str, Any] | Input, also_takes: Sequence[str] = ()
) -> Input:
    """Validate arguments against the operation's input; `also_takes` are names that the transport understands.

    Raises:
        InvalidInput: with the first thing that is wrong, the field's wire name and, for a misspelt name, the right one.
    """
    if isinstance(arguments, Input):
        return arguments
    names = _wire_names(operation.input)
    # A misspelt name is also a missing one; the misspelling is what the caller needs to hear of.
    misspelt = next((name for name in arguments if name not in names), None)
    if misspelt is not None:
        raise InvalidInput(_unknown(misspelt, [*names, *also_takes]), field=_shown(misspelt))
    for name, value in arguments.items():
        _refuse_unstorable(value, name)
    try:
        return operation.input.model_validate(arguments)
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_input=False)[0]) from None


def are_plain(arguments: Mapping[str, Any] | Input) -> bool:
    """Whether they are read in no time: a few numbers and short texts."""
    if isinstance(arguments, Input):
        return True
    return len(arguments) <= MAX_PLAIN_ARGUMENTS and all(map(_is_plain, arguments.values()))


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_PLAIN_TEXT
    return value is None or isinstance(value, int | float)


def _refuse_unstorable(value: object, field: str, depth: int = 0) -> None:
    """NUL and lone surrogates are in no text that a person wrote, and databases do not take them."""
    if isinstance(value, str):
        if not _is_storable(value):
            raise InvalidInput("The text holds a character that cannot be stored. Leave it out.", field=field)
    elif isinstance(value, Mapping | list):
        if depth == MAX_DEPTH:
            raise InvalidInput("The argument is nested too deeply. Give it as the schema says.", field=field)
        content = cast(Mapping[object, object] | list[object], value)
        if len(content) > MAX_ITEMS:
            raise InvalidInput(f"The argument holds more than {MAX_ITEMS} items. Give fewer.", field=field)
        for item in content:
            _refuse_unstorable(item, field, depth + 1)
            if isinstance(content, Mapping):
                _refuse_unstorable(content[item], field, depth + 1)


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a surrogate without its other half
        return False
    return "\x00" not in text


def _shown(name: str) -> str:
    """An argument's name as an answer may repeat it: somebody made it up, so short, and in visible characters."""
    return repr(name[:MAX_NAME_LENGTH])[1:-1]


def _refusal(error: ErrorDetails) -> InvalidInput:
    # A rule over several arguments says in its context which one is at fault.
    field = ".".join(str(part) for part in error["loc"]) or error.get("ctx", {}).get("field")
    kind = error["type"]
    if kind == "missing":
        return InvalidInput(f"{field} is required.", field=field)
    message = _of_length(error) or error["msg"].removeprefix("Value error, ").rstrip(".")
    text = f"{field}: {message}." if error["loc"] else f"{message}."
    return _REFUSAL_OF_TYPE.get(kind, InvalidInput)(text, field=field)


def _of_length(error: ErrorDetails) -> str | None:
    """Of a text that was cleaned before it was measured, pydantic says how many items it should have."""
    context: dict[str, Any] = error.get("ctx", {})
    if context.get("field_type") != "Value":
        return None
    match error["type"]:
        case "too_long":
            return f"must have at most {context['max_length']} characters, and this has {context['actual_length']}"
        case "too_short":
            return "must not be empty"
        case _:
            return None


def _unknown(name: str, names: list[str]) -> str:
    """Without the operation's name: who calls by an address has never seen it."""
    given = name[:MAX_NAME_LENGTH]
    if not names:
        return f"This call takes no arguments; leave {given!r} out."
    close = difflib.get_close_matches(given.replace("_", "").lower(), [n.lower() for n in names], n=1, cutoff=0.6)
    if close:
        return f"Unknown argument {given!r}; did you mean {next(n for n in names if n.lower() == close[0])}?"
    return f"Unknown argument {given!r}. This call takes: {', '.join(names)}."


@cache
def _wire_names(model: type[Input]) -> list[str]:
    """How the fields are written by callers."""
    return [field.alias or name for name, field in model.model_fields.items()]
