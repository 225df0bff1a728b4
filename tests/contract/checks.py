"""Schemas made into functions: one answers what is wrong with a value, and nothing when nothing is.

JSON is checked as it is; a form as its texts, because that is what travels. Written here rather than taken from the
jsonschema package because every object the sandbox stores in every test passes through it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

Fault = str
"""Where, and what: `restrictions.minimum_amount: "x" is not an integer`."""
Check = Callable[[Any], list[Fault]]
JsonObject = dict[str, Any]

_FINE: list[Fault] = []
_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "array": (list,),
}
_AS_TEXT = {
    "integer": re.compile(r"-?\d+"),
    "number": re.compile(r"-?\d+(\.\d+)?"),
    "boolean": re.compile(r"true|false"),
}
_DECIMAL = re.compile(r"-?\d+(\.\d+)?")


@dataclass
class Checks:
    """The checks of one document.

    Attributes:
        form: values are the texts of a form: a hash of texts and hashes, where an array has the keys 0, 1, 2….
        partial: anything may be missing or null, as in the `previous_attributes` of an event.
    """

    objects: dict[str, JsonObject]
    form: bool = False
    partial: bool = False
    _made: dict[str, Check] = field(default_factory=dict[str, Check])

    def of(self, name: str) -> Check:
        """The check of an object by its name; made at the first use."""
        if name not in self._made:
            self._made[name] = self.made(self.objects[name])
        return self._made[name]

    def made(self, schema: JsonObject) -> Check:
        """The check of a schema."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            # Looked up when it runs, because objects contain each other.
            return lambda value: self.of(name)(value)
        choices = [self._choice(each) for each in schema.get("anyOf", [schema])]
        if len(choices) == 1:
            return choices[0].check
        return lambda value: _best(choices, value)

    def _choice(self, schema: JsonObject) -> _Choice:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return _Choice(self.made(schema), ("object",), name)
        kinds = schema.get("type", [])
        names = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        return _Choice(self._single(schema, names), names, None)

    def _single(self, schema: JsonObject, kinds: tuple[str, ...]) -> Check:
        """The check of a schema that is of one kind, or null."""
        if not kinds:
            return lambda value: _FINE
        [kind] = [each for each in kinds if each != "null"] or ["null"]
        if "enum" in schema:
            check = _one_of([_as_text(value) for value in schema["enum"]] if self.form else schema["enum"])
        elif kind == "object":
            check = self._object(schema)
        elif kind == "array":
            check = self._array(schema)
        elif self.form:
            check = _text(kind)
        else:
            check = _decimal if schema.get("format") == "decimal" else _of_type(kind)
        return _or_null(check) if "null" in kinds or self.partial else check

    def _object(self, schema: JsonObject) -> Check:
        fields = {name: self.made(each) for name, each in schema.get("properties", {}).items()}
        more = schema.get("additionalProperties", {})
        others = None if more is False else self.made(more)
        required = frozenset[str]() if self.partial else frozenset(schema.get("required", []))

        def check(value: Any) -> list[Fault]:
            if type(value) is not dict:
                return [f": {value!r} is not an object"]
            hash = cast(JsonObject, value)
            faults: list[Fault] = []
            for name, each in hash.items():
                known = fields.get(name, others)
                if known is None:
                    faults.append(f".{name}: not documented")
                elif found := known(each):
                    faults += [f".{name}{fault}" for fault in found]
            if not required <= hash.keys():
                faults += [f".{name}: missing" for name in sorted(required - hash.keys())]
            return faults

        return check

    def _array(self, schema: JsonObject) -> Check:
        item = self.made(schema["items"])

        def check(value: Any) -> list[Fault]:
            if self.form and type(value) is dict:
                hash = cast(JsonObject, value)
                if sorted(hash, key=len) != [str(index) for index in range(len(hash))]:
                    return [f": {value!r} is not an array"]
                value = list(hash.values())
            if type(value) is not list:
                return [f": {value!r} is not an array"]
            found = [(index, item(each)) for index, each in enumerate(cast(list[Any], value))]
            return [f"[{index}]{fault}" for index, faults in found for fault in faults]

        return check


@dataclass(frozen=True)
class _Choice:
    check: Check
    kinds: tuple[str, ...]
    """What it may be in JSON."""
    object: str | None
    """Which of Stripe's objects it is, when it is one."""


def _best(choices: list[_Choice], value: Any) -> list[Fault]:
    """What is wrong with a value that may be any of several: nothing, or what is wrong with the likeliest."""
    name: object = cast(JsonObject, value).get("object") if type(value) is dict else None
    faults: list[list[Fault]] = []
    for choice in choices:
        if choice.object is not None and choice.object != name:
            continue
        found = choice.check(value)
        if not found:
            return _FINE
        faults.append(found)
    deepest = [found for found in faults if not found[0].startswith(":")]
    if len(deepest) == 1:
        return deepest[0]
    return [f": {value!r} is none of {', '.join(_called(choice) for choice in choices)}"]


def _called(choice: _Choice) -> str:
    return choice.object or " or ".join(choice.kinds)


def _or_null(check: Check) -> Check:
    return lambda value: _FINE if value is None else check(value)


def _one_of(values: list[Any]) -> Check:
    allowed = frozenset(values)
    shown = ", ".join(map(str, values)) if len(values) <= 12 else f"the {len(values)} documented ones"

    def check(value: Any) -> list[Fault]:
        if type(value) not in (str, bool, int) or value not in allowed:
            return [f": {value!r} is not one of {shown}"]
        return _FINE

    return check


def _of_type(kind: str) -> Check:
    types = _PYTHON[kind]
    return lambda value: _FINE if type(value) in types else [f": {value!r} is not of type {kind}"]


def _decimal(value: Any) -> list[Fault]:
    return _FINE if type(value) is str and _DECIMAL.fullmatch(value) else [f": {value!r} is not a decimal text"]


def _text(kind: str) -> Check:
    """The check of a form's text that stands for a value of this type."""
    pattern = _AS_TEXT.get(kind)

    def check(value: Any) -> list[Fault]:
        fits = type(value) is str and (pattern is None or pattern.fullmatch(value))
        return _FINE if fits else [f": {value!r} is not of type {kind}"]

    return check


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
