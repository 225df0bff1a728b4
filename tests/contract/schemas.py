"""JSON schemas of the stripe package's annotations."""

from __future__ import annotations

import ast
from typing import Any

from tests.contract.source import Class, Module

JsonObject = dict[str, Any]
_PLAIN: dict[str, JsonObject] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "float": {"type": "number"},
    "Decimal": {"type": "string", "format": "decimal"},
    "Any": {},
}
_NULL: JsonObject = {"type": "null"}
_JSON_TYPE = {str: "string", bool: "boolean", int: "integer"}
_PART_BASES = ["StripeObject"]
_PARAMS_BASES = (["TypedDict"], ["RequestOptions"])


class Types:
    """Schemas, and the objects that they have referred to so far."""

    def __init__(self, in_full: frozenset[str]) -> None:
        """`in_full` are the objects whose fields are wanted, by their name in JSON."""
        self._in_full = in_full
        self._objects: dict[str, JsonObject] = {}

    def described(self) -> dict[str, JsonObject]:
        """Every object that was referred to."""
        return dict(sorted(self._objects.items()))

    def refer(self, kind: Class) -> JsonObject:
        """A reference to the schema of a resource."""
        name = kind.object_name
        assert name is not None, kind.node.name
        if name not in self._objects:
            self._objects[name] = {}  # it may contain itself
            self._objects[name] |= self.object_of(kind) if name in self._in_full else _outline(name)
        return {"$ref": f"#/components/schemas/{name}"}

    def object_of(self, kind: Class) -> JsonObject:
        """What an object of a class looks like in JSON. What may be null may be absent: the package does not tell which."""
        fields = {name: self.schema(annotation, kind) for name, annotation in kind.fields()}
        return _object(fields, [name for name, annotation in kind.fields() if not _is(annotation, "Optional")])

    def deleted(self, kind: Class) -> JsonObject:
        """What is left of a deleted object; the package gives it the class of the living."""
        fields = dict(kind.fields())
        if "deleted" not in fields:  # a subscription is canceled, and stays
            return self.refer(kind)
        shown = {name: self.schema(fields[name], kind) for name in ("id", "object")}
        return _object(shown | {"deleted": {"type": "boolean", "enum": [True]}}, ["deleted", "id", "object"])

    def params(self, kind: Class) -> JsonObject:
        """The parameters of a request, or a hash among them."""
        if kind.bases not in _PARAMS_BASES:
            raise TypeError(f"{kind.node.name} has an unknown form: {kind.bases}")
        fields = {name: self.schema(annotation, kind) for name, annotation in kind.fields()}
        return _object(fields, [name for name, annotation in kind.fields() if not _is(annotation, "NotRequired")])

    def schema(self, annotation: ast.expr, within: Class | Module) -> JsonObject:
        """The schema of an annotation that stands in a class.

        Raises:
            TypeError: the package has begun to write something else.
        """
        match annotation:
            case ast.Constant(value=str(text)):
                return self.schema(ast.parse(text.strip(), mode="eval").body, within)
            case ast.Name(id=name):
                return dict(_PLAIN[name]) if name in _PLAIN else self._class(within.named(name))
            case ast.BinOp(op=ast.BitOr()):
                return self._union(_members(annotation), within)
            case ast.Subscript(value=ast.Name(id=head), slice=inner):
                return self._generic(head, inner, within)
            case _:
                raise TypeError(f"no schema for {ast.unparse(annotation)}")

    def _generic(self, head: str, inner: ast.expr, within: Class | Module) -> JsonObject:
        match head:
            case "NotRequired":
                return self.schema(inner, within)
            case "Optional":
                return _nullable(self.schema(inner, within))
            case "Union":
                return self._union(inner.elts if isinstance(inner, ast.Tuple) else [inner], within)
            case "Literal":
                values = [ast.literal_eval(each) for each in (inner.elts if isinstance(inner, ast.Tuple) else [inner])]
                return {"type": _JSON_TYPE[type(values[0])], "enum": values}
            case "List":
                return {"type": "array", "items": self.schema(inner, within)}
            case "ExpandableField":
                return _any_of([_PLAIN["str"], self.schema(inner, within)])
            case "UntypedStripeObject":
                return {"type": "object", "additionalProperties": self.schema(inner, within)}
            case "Dict":
                assert isinstance(inner, ast.Tuple)
                return {"type": "object", "additionalProperties": self.schema(inner.elts[1], within)}
            case "ListObject":
                items = {"type": "array", "items": self.schema(inner, within)}
                fields = {"data": items, "has_more": _PLAIN["bool"], "url": _PLAIN["str"]}
                return _object(fields | {"object": {"type": "string", "enum": ["list"]}}, [*fields, "object"])
            case _:
                raise TypeError(f"no schema for {head}")

    def _union(self, members: list[ast.expr], within: Class | Module) -> JsonObject:
        """Any of several. Beside written-out texts `str` means those of later versions, and is left out.

        The empty text is no such text: it stands for nothing.
        """
        choices = [self.schema(member, within) for member in members]
        enums = [choice for choice in choices if "enum" in choice and choice["type"] == "string"]
        others = [choice for choice in choices if choice not in enums]
        values = [value for choice in enums for value in choice["enum"]]
        if any(values):
            choices = [{"type": "string", "enum": values}, *(each for each in others if each != _PLAIN["str"])]
        elif _PLAIN["str"] in others:
            choices = others
        return _any_of(choices)

    def _class(self, kind: Class) -> JsonObject:
        if kind.object_name is not None:
            return self.refer(kind)
        return self.object_of(kind) if kind.bases == _PART_BASES else self.params(kind)


def _is(annotation: ast.expr, head: str) -> bool:
    return isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == head


def _members(union: ast.expr) -> list[ast.expr]:
    """The members of `a | b | c`."""
    if isinstance(union, ast.BinOp) and isinstance(union.op, ast.BitOr):
        return [*_members(union.left), *_members(union.right)]
    return [union]


def _object(fields: dict[str, JsonObject], required: list[str]) -> JsonObject:
    schema: JsonObject = {"type": "object", "properties": fields, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def _outline(name: str) -> JsonObject:
    return {
        "type": "object",
        "properties": {"object": {"type": "string", "enum": [name]}},
        "required": ["object"],
    }


def _any_of(choices: list[JsonObject]) -> JsonObject:
    """Each choice once: the package writes some of them in two ways."""
    flat = [each for choice in choices for each in (choice["anyOf"] if choice.keys() == {"anyOf"} else [choice])]
    single = [choice for index, choice in enumerate(flat) if choice not in flat[:index]]
    return single[0] if len(single) == 1 else {"anyOf": single}


def _nullable(schema: JsonObject) -> JsonObject:
    if "type" in schema:
        enum = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
        return schema | {"type": [schema["type"], "null"]} | enum
    return _any_of([schema, _NULL]) if schema else schema
