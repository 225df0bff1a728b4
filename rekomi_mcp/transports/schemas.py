"""JSON Schemas of operations, in the plain form that every MCP client understands."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel

JsonSchema = dict[str, Any]


def input_schema(model: type[BaseModel]) -> JsonSchema:
    return _plain(model.model_json_schema(by_alias=True, mode="validation"))


def output_schema(model: type[BaseModel]) -> JsonSchema:
    return _plain(model.model_json_schema(by_alias=True, mode="serialization"))


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
        if not (key == "title" and isinstance(value, str))
    }
