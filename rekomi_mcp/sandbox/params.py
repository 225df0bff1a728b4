"""Declared parameters: what each may be, checked in one place and answered with Stripe's errors."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rekomi_mcp.domain.money import SALE_CURRENCIES
from rekomi_mcp.sandbox.errors import InvalidRequest, missing_parameter, unknown_parameter
from rekomi_mcp.sandbox.forms import Raw
from rekomi_mcp.sandbox.shapes import JsonObject


class Parameter(Protocol):
    """One kind of value. `read` turns what arrived into what a handler uses, or raises ApiError."""

    def read(self, raw: Raw, param: str) -> Any: ...


@dataclass(frozen=True)
class Text:
    """A text. An empty one is refused, or means None where the parameter can be cleared."""

    max_length: int = 5000
    clearable: bool = False

    def read(self, raw: Raw, param: str) -> str | None:
        text = _text(raw, param, "string")
        if text == "":
            if self.clearable:
                return None
            message = (
                f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a "
                f"parameter; however '{param}' cannot be unset. You should remove '{param}' from your request or "
                "supply a non-empty value."
            )
            raise InvalidRequest(message, code="parameter_invalid_empty", param=param)
        if len(text) > self.max_length:
            message = f"Invalid string: {text[:20]}…; must be at most {self.max_length} characters"
            raise InvalidRequest(message, param=param)
        return text


@dataclass(frozen=True)
class Integer:
    minimum: int | None = None
    maximum: int | None = None

    def read(self, raw: Raw, param: str) -> int:
        text = _text(raw, param, "integer")
        if not re.fullmatch(r"-?\d{1,18}", text):
            raise InvalidRequest(f"Invalid integer: {text}", code="parameter_invalid_integer", param=param)
        number = int(text)
        _check_bounds(number, self.minimum, self.maximum, param, "parameter_invalid_integer")
        return number


@dataclass(frozen=True)
class Percentage:
    """A number of at most `decimals` decimals."""

    minimum: float
    maximum: float = 100
    decimals: int = 2

    def read(self, raw: Raw, param: str) -> float:
        text = _text(raw, param, "decimal")
        if not re.fullmatch(rf"-?\d{{1,9}}(\.\d{{1,{self.decimals}}}0*)?", text):
            raise InvalidRequest(f"Invalid decimal: {text}", param=param)
        number = float(text)
        _check_bounds(number, self.minimum, self.maximum, param, None)
        return number


@dataclass(frozen=True)
class Boolean:
    def read(self, raw: Raw, param: str) -> bool:
        text = _text(raw, param, "boolean")
        if text not in ("true", "false"):
            raise InvalidRequest(f"Invalid boolean: {text}", param=param)
        return text == "true"


@dataclass(frozen=True)
class Choice:
    values: tuple[str, ...]

    def __init__(self, *values: str) -> None:
        object.__setattr__(self, "values", values)

    def read(self, raw: Raw, param: str) -> str:
        text = _text(raw, param, "string")
        if text not in self.values:
            *others, last = self.values
            listed = f"{', '.join(others)}{',' if len(others) > 1 else ''} or {last}" if others else last
            raise InvalidRequest(f"Invalid {param}: must be one of {listed}", param=param)
        return text


@dataclass(frozen=True)
class Currency:
    """The code of a currency that Stripe has, lower case as Stripe answers it."""

    def read(self, raw: Raw, param: str) -> str:
        text = _text(raw, param, "string").lower()
        if text.upper() not in SALE_CURRENCIES:
            raise InvalidRequest(f"Invalid currency: {text}.", param=param)
        return text


@dataclass(frozen=True)
class Metadata:
    """Up to 50 texts by name. "" for a name deletes it, "" for the whole deletes all where it can be cleared (None)."""

    clearable: bool = True

    def read(self, raw: Raw, param: str) -> dict[str, str] | None:
        if raw == "" and self.clearable:
            return None
        if isinstance(raw, str):
            raise InvalidRequest("Invalid object", param=param)
        if len(raw) > 50:
            raise InvalidRequest("Metadata can have at most 50 keys.", param=param)
        for name, value in raw.items():
            inner = f"{param}[{name}]"
            if len(name) > 40:
                raise InvalidRequest(f"Metadata keys can have at most 40 characters: {name}", param=inner)
            if len(_text(value, inner, "string")) > 500:
                raise InvalidRequest("Metadata values can have at most 500 characters.", param=inner)
        return {name: value for name, value in raw.items() if isinstance(value, str)}


@dataclass(frozen=True)
class Range:
    """A number, or bounds for it: `created=1` or `created[gte]=1`. Read as {gte, lte} and so on."""

    def read(self, raw: Raw, param: str) -> dict[str, int]:
        if isinstance(raw, str):
            moment = Integer().read(raw, param)
            return {"gte": moment, "lte": moment}
        return Fields({name: Integer() for name in ("gt", "gte", "lt", "lte")}).read(raw, param)


@dataclass(frozen=True)
class ListOf:
    """An array. "" means an empty one."""

    item: Parameter

    def read(self, raw: Raw, param: str) -> list[Any]:
        if raw == "":
            return []
        if isinstance(raw, str) or not all(key.isdecimal() for key in raw):
            raise InvalidRequest("Invalid array", param=param)
        return [self.item.read(raw[key], f"{param}[{key}]") for key in sorted(raw, key=int)]


@dataclass(frozen=True)
class Fields:
    """A hash with declared fields; the whole of a request is one."""

    fields: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    required: tuple[str, ...] = ()

    def read(self, raw: Raw, param: str = "") -> JsonObject:
        if isinstance(raw, str):
            raise InvalidRequest("Invalid object", param=param)

        def spelled(name: str) -> str:
            return f"{param}[{name}]" if param else name

        for name in raw:
            if name not in self.fields:
                raise unknown_parameter(spelled(name))
        for name in self.required:
            if name not in raw:
                raise missing_parameter(spelled(name))
        return {name: self.fields[name].read(value, spelled(name)) for name, value in raw.items()}


NO_PARAMETERS = Fields()


@dataclass(frozen=True)
class AnyFields:
    """A hash whose names are open and whose values are alike."""

    value: Parameter

    def read(self, raw: Raw, param: str) -> JsonObject:
        if isinstance(raw, str):
            raise InvalidRequest("Invalid object", param=param)
        return {name: self.value.read(value, f"{param}[{name}]") for name, value in raw.items()}


def merged_metadata(current: Mapping[str, str], given: Mapping[str, str] | None) -> dict[str, str]:
    """Metadata after an update: names are merged, "" deletes one, None deletes all."""
    if given is None:
        return {}
    return {name: value for name, value in {**current, **given}.items() if value != ""}


def _text(raw: Raw, param: str, wanted: str) -> str:
    if not isinstance(raw, str):
        raise InvalidRequest(f"Invalid {wanted}: {raw}", param=param)
    return raw


def _check_bounds(number: float, minimum: float | None, maximum: float | None, param: str, code: str | None) -> None:
    if minimum is not None and number < minimum:
        raise InvalidRequest(f"This value must be greater than or equal to {minimum}.", code=code, param=param)
    if maximum is not None and number > maximum:
        raise InvalidRequest(f"This value must be less than or equal to {maximum}.", code=code, param=param)
