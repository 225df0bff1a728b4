"""`make docs` runs this: Stripe's API as the installed stripe package types it, as an OpenAPI document.

Described are the requests that the sandbox answers, which are those the server makes and a few more, and the objects in
the answers. An object the sandbox has no use for is described by its `object` alone. A type that the package leaves open
for Stripe's next version (`Literal[...] | str`) is closed here: what is sent and answered today has to be documented today.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

import stripe

from rekomi_mcp.sandbox.api import ROUTES
from tests.contract.document import PATH
from tests.contract.schemas import Types
from tests.contract.source import Class, Module, module, services

COMMAND = "make docs"
JsonObject = dict[str, Any]

PARTS = ("discount", "item", "line_item", "plan", "subscription_item")
"""Objects that the sandbox has inside others only."""
_NAME = re.compile(r"\{\w+\}")
_STRING: JsonObject = {"type": "string"}


@dataclass(frozen=True)
class Request:
    """One method of the package that makes one request."""

    verb: str
    path: str
    module: Module
    params: str
    """The class of its parameters."""
    answer: ast.expr


def shape(path: str) -> str:
    """A path without the names of its ids: the sandbox and the package may call them differently."""
    return _NAME.sub("{}", path)


def known_requests() -> dict[tuple[str, str], Request]:
    """Every request that the package can make, by verb and shape of path."""
    found: dict[tuple[str, str], Request] = {}
    for service in services():
        for node in ast.walk(service.tree):
            if isinstance(node, ast.FunctionDef) and (request := _request(service, node)):
                found[request.verb, shape(request.path)] = request
    return found


def _request(service: Module, method: ast.FunctionDef) -> Request | None:
    """What a method of a service sends."""
    for node in ast.walk(method):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "self._request"):
            continue
        verb, path = node.args[0], node.args[1]
        if isinstance(path, ast.Call) and isinstance(path.func, ast.Attribute):  # "…{id}".format(id=…)
            path = path.func.value
        [params] = [each for each in method.args.args if each.arg == "params"]
        [kind] = re.findall(r"\w+Params\b", ast.unparse(params.annotation or params))
        assert method.returns is not None
        return Request(ast.literal_eval(verb), ast.literal_eval(path), service, kind, method.returns)
    return None


def describe() -> JsonObject:
    """The whole document."""
    requests = known_requests()
    wanted = sorted((route.method.lower(), shape(route.path)) for route in ROUTES)
    types = Types(frozenset(_objects_of(requests, wanted)))
    paths: dict[str, JsonObject] = {}
    for verb, path in wanted:
        request = requests[verb, path]
        paths.setdefault(request.path, {"parameters": _ids(request.path)})[verb] = _operation(types, request)
    for name in PARTS:
        types.refer(_class_of(name))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stripe, as stripe-python types it", "version": stripe.api_version},
        "paths": dict(sorted(paths.items())),
        "components": {"responses": {"refused": _refused(types)}, "schemas": types.described()},
    }


def _objects_of(requests: dict[tuple[str, str], Request], wanted: list[tuple[str, str]]) -> set[str]:
    """The objects to describe in full, by name."""
    names: set[str] = {*PARTS}
    for key in wanted:
        for name in re.findall(r"\w+", str(ast.literal_eval(requests[key].answer))):
            if name != "ListObject":
                names.add(str(requests[key].module.named(name).object_name))
    return names


def _class_of(name: str) -> Class:
    from stripe._object_classes import OBJECT_CLASSES

    place, kind = OBJECT_CLASSES[name]
    return module(place).named(kind)


def _refused(types: Types) -> JsonObject:
    error = types.object_of(module("stripe._error_object").named("ErrorObject"))
    body = {"type": "object", "properties": {"error": error}, "required": ["error"], "additionalProperties": False}
    return {"description": "refused", "content": {"application/json": {"schema": body}}}


def _operation(types: Types, request: Request) -> JsonObject:
    """One request: its parameters, and its answer."""
    params = types.params(request.module.named(request.params))
    operation: JsonObject = {}
    if request.verb == "post":
        operation["requestBody"] = {"content": {"application/x-www-form-urlencoded": {"schema": params}}}
    else:
        operation["parameters"] = [
            {"in": "query", "name": name, "schema": schema, "style": "deepObject"}
            | ({"required": True} if name in params.get("required", []) else {})
            for name, schema in params["properties"].items()
        ]
    answer = types.schema(ast.parse(ast.literal_eval(request.answer), mode="eval").body, request.module)
    if request.verb == "delete":
        answer = types.deleted(request.module.named(ast.literal_eval(request.answer)))
    operation["responses"] = {
        "200": {"description": "done", "content": {"application/json": {"schema": answer}}},
        "default": {"$ref": "#/components/responses/refused"},
    }
    return operation


def _ids(path: str) -> list[JsonObject]:
    names = [name[1:-1] for name in _NAME.findall(path)]
    return [{"in": "path", "name": name, "required": True, "schema": _STRING} for name in names]


def written(document: JsonObject) -> str:
    """The document as it is kept: a line an operation and a line an object, so that differences can be read."""

    def line(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    paths = [
        f"{line(path)}:{{" + ",\n".join(f"{line(name)}:{line(part)}" for name, part in item.items()) + "}"
        for path, item in document["paths"].items()
    ]
    schemas = [f"{line(name)}:{line(schema)}" for name, schema in document["components"]["schemas"].items()]
    head = line({name: document[name] for name in ("openapi", "info")})[:-1]
    responses = line(document["components"]["responses"])
    return (
        f'{head},\n"paths":{{\n'
        + ",\n".join(paths)
        + f'}},\n"components":{{"responses":{responses},\n"schemas":{{\n'
        + ",\n".join(schemas)
        + "}}}\n"
    )


if __name__ == "__main__":
    PATH.write_text(written(describe()), encoding="utf-8")
