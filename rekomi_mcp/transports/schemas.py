"""JSON Schemas of operations, in the plain form that every MCP client understands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

from pydantic import BaseModel

from rekomi_mcp.operation import DETAIL, AnyOperation, Catalogue

JsonSchema = dict[str, Any]


def input_schema(model: type[BaseModel]) -> JsonSchema:
    """What a tool takes. How long a text may be is said by the refusal of one that is longer."""
    schema = _plain(model.model_json_schema(by_alias=True, mode="validation"))
    return _without(schema, frozenset({"minLength", "maxLength"}))


Homes = Mapping[str, tuple[str, str]]
"""By the name of an answer's model: the tool that describes it, and in words where there."""


def homes_of(catalogue: Catalogue) -> Homes:
    """Where each answer is described: at the read whose answer it is, else at the list whose items it is."""
    homes: dict[str, tuple[str, str]] = {}
    reads = [operation for operation in catalogue.listed() if operation.reads]
    for operation in reads:
        homes.setdefault(operation.output.__name__, (operation.name, f"The same fields as in {operation.name}."))
    for operation in reads:
        item = item_of(operation.output)
        if item is not None:
            homes.setdefault(item.__name__, (operation.name, f"The same fields as an item of {operation.name}."))
    return homes


def item_of(output: type[BaseModel]) -> type[BaseModel] | None:
    """The model of a list's items; None when the answer is no list."""
    items = output.model_fields.get("items")
    found = get_args(items.annotation) if items is not None else ()
    return found[0] if found and issubclass(found[0], BaseModel) else None


def answer_schema(operation: AnyOperation, homes: Homes) -> JsonSchema:
    """What a tool answers, short: names and types, and of an answer that another tool describes only where.

    What the fields mean is in the OpenAPI document; their names say it to whoever reads an answer.

    Answers leave nulls out, so no list of required fields could be read without the one of those that may be null.
    """
    schema = operation.output.model_json_schema(by_alias=True, mode="serialization")
    elsewhere = {
        name: {"type": "object", "description": words}
        for name, (home, words) in homes.items()
        if home != operation.name
    }
    if operation.output.__name__ in elsewhere:
        return elsewhere[operation.output.__name__]
    silent = _without(schema, frozenset({"description"}))
    silent["$defs"] = {name: elsewhere.get(name, each) for name, each in silent.get("$defs", {}).items()}
    described = _without(_plain(silent), frozenset({"required", "additionalProperties", "format", "default"}))
    for base in operation.output.__mro__[1:]:
        if base.__name__ in elsewhere and issubclass(base, BaseModel):
            return _beyond(described, base, elsewhere[base.__name__]["description"])
    return described


def _beyond(schema: JsonSchema, base: type[BaseModel], words: str) -> JsonSchema:
    """Only what an answer has beyond the one it extends, which is described elsewhere."""
    known = {field.serialization_alias or field.alias or name for name, field in base.model_fields.items()}
    own = {name: each for name, each in schema["properties"].items() if name not in known}
    return {"type": "object", "description": f"{words} And:", "properties": own}


def _without(node: Any, keywords: frozenset[str]) -> Any:
    """The schema without these keywords, which only a machine would check."""
    if isinstance(node, list):
        return [_without(item, keywords) for item in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    node = cast(JsonSchema, node)
    return {
        key: {name: _without(field, keywords) for name, field in value.items()}
        if key == "properties"
        else _without(value, keywords)
        for key, value in node.items()
        if key not in keywords
    }


def _plain(schema: JsonSchema) -> JsonSchema:
    """The same schema without references, titles and nulls: an optional argument is left out, not sent as null."""
    definitions: JsonSchema = schema.pop("$defs", {})
    plain = _simplify(schema, definitions)
    plain.pop("description", None)  # the model's docstring; the tool has a description of its own
    return plain


def _simplify(node: Any, definitions: JsonSchema) -> Any:
    if isinstance(node, list):
        return [_simplify(item, definitions) for item in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    node = cast(JsonSchema, node)
    if "$ref" in node:
        target = definitions[str(node["$ref"]).removeprefix("#/$defs/")]
        # An enum's docstring is for readers of the code; what callers need stands beside the reference.
        inlined = {k: v for k, v in target.items() if k != "description" or "description" not in node}
        return _simplify({**inlined, **{k: v for k, v in node.items() if k != "$ref"}}, definitions)
    if "anyOf" in node and {"type": "null"} in node["anyOf"]:
        others = [option for option in node["anyOf"] if option != {"type": "null"}]
        rest = {k: v for k, v in node.items() if k != "anyOf" and not (k == "default" and v is None)}
        merged = {**others[0], **rest} if len(others) == 1 else {"anyOf": others, **rest}
        return _simplify(merged, definitions)
    return {
        key: {name: _simplify(sub, definitions) for name, sub in value.items() if sub.get("type") != "null"}
        if key == "properties"
        else _simplify(value, definitions)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str)) and key not in DETAIL
    }
