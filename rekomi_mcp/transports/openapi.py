"""The OpenAPI description, made from the catalogue."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from rekomi_mcp import __version__
from rekomi_mcp.domain.access import Scope
from rekomi_mcp.operation import AnyOperation, Catalogue, Route
from rekomi_mcp.transports.openapi_doors import door_paths
from rekomi_mcp.transports.openapi_links import links_from
from rekomi_mcp.transports.openapi_public import ERROR_CONTENT, OTHER_PATHS

JsonObject = dict[str, Any]

_ERRORS = {
    "400": "Bad input; the message says how to mend it.",
    "401": "No token, or one that is unknown, expired or revoked.",
    "402": "The plan does not include this: `required`, `current` and `trialing` say more.",
    "403": "The token's scope or role does not reach, or a page of another site sent it.",
    "404": "No such thing in this organization.",
    "409": "It clashes with what is there.",
    "413": "The body is too large.",
    "421": "The Host header is no name of this server's.",
    "429": "Too many calls; `Retry-After` says how many seconds to wait.",
    "500": "The server failed; nothing was changed.",
    "502": "Stripe does not accept this server's key.",
    "503": "Stripe could not be reached; nothing was changed.",
    "504": "Stripe did not answer in time; the server finishes the write by itself.",
}
_STRIPE_ERRORS = frozenset({"502", "503", "504"})
_ERROR_SCHEMA: JsonObject = {
    "type": "object",
    "required": ["error", "message"],
    "properties": {
        "error": {"type": "string", "description": "A stable code."},
        "message": {"type": "string", "description": "What is wrong and what to do next."},
        "field": {"type": "string", "description": "The argument at fault."},
    },
}
_QUOTA_HEADERS: JsonObject = {
    name: {"schema": {"type": "integer"}, "description": description}
    for name, description in (
        ("X-RateLimit-Limit", "Calls a window."),
        ("X-RateLimit-Remaining", "Calls left in this window."),
        ("X-RateLimit-Reset", "Seconds until the next window."),
    )
}


def describe_api(catalogue: Catalogue, server_url: str, *, sandbox: bool) -> JsonObject:
    """The whole OpenAPI 3.1 document."""
    operations = [(o, o.route) for o in catalogue.exposed() if o.route is not None]
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = []
    for operation, _ in operations:
        models.append((operation.input, "validation"))
        models.append((operation.output, "serialization"))
    keys, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")
    schemas: JsonObject = {**definitions.get("$defs", {}), "Error": _ERROR_SCHEMA}
    paths: dict[str, JsonObject] = {}
    for operation, route in operations:
        request = _resolved(keys[operation.input, "validation"], schemas)
        answer = keys[operation.output, "serialization"]
        for number, path in enumerate((route.path, *route.aliases)):
            described = _describe(operation, route, re.findall(r"{(\w+)}", path), request, answer)
            described["operationId"] = operation.name if number == 0 else f"{operation.name}_alias_{number}"
            if links := links_from(operation, path, operations):
                described["responses"][str(route.status)]["links"] = links
            paths.setdefault(path, {})[route.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rekomi-mcp" + (" (sandbox: no real money)" if sandbox else ""),
            "version": __version__,
            "description": "The affiliate program's operations, the same as the MCP tools'.",
        },
        "servers": [{"url": server_url}],
        "security": [{"bearer": []}],
        "paths": {**paths, **door_paths(catalogue, schemas), **OTHER_PATHS},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "An rk_live_ token."}},
        },
    }


def _resolved(schema: JsonObject, schemas: JsonObject) -> JsonObject:
    reference = schema.get("$ref")
    return schemas[str(reference).rpartition("/")[2]] if reference else schema


def _describe(
    operation: AnyOperation, route: Route, in_path: list[str], request: JsonObject, answer: JsonObject
) -> JsonObject:
    described: JsonObject = {
        "summary": operation.title,
        "description": f"{operation.summary} {operation.usage} Scope: {operation.scope.value}. "
        f"Role: {operation.role.name}. Plan: {operation.gate.tier.name}.",
        "tags": [operation.toolset],
        "parameters": _parameters(operation, request, in_path, in_query=not route.has_body),
        "responses": _responses(operation, route, answer),
    }
    if route.has_body:
        described["requestBody"] = _body(request, in_path)
    return described


def _parameters(
    operation: AnyOperation, request: JsonObject, in_path: list[str], *, in_query: bool
) -> list[JsonObject]:
    properties: JsonObject = request.get("properties", {})
    required = request.get("required", [])
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _non_null(properties[name])} for name in in_path
    ]
    if in_query:
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": _non_null(schema)}
            for name, schema in properties.items()
            if name not in in_path
        ]
    if operation.scope is Scope.READ_WRITE:
        schema = {"type": "string", "minLength": 1, "maxLength": 255}
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema})
    return parameters


def _non_null(schema: JsonObject) -> JsonObject:
    """A parameter is given or left out; it has no way to be null."""
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    rest = {k: v for k, v in schema.items() if k != "anyOf" and not (k == "default" and v is None)}
    if not options:
        return rest
    return {**options[0], **rest} if len(options) == 1 else {"anyOf": options, **rest}


def _body(request: JsonObject, in_path: list[str]) -> JsonObject:
    properties = {name: schema for name, schema in request.get("properties", {}).items() if name not in in_path}
    required = [name for name in request.get("required", []) if name not in in_path]
    schema: JsonObject = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        schema["required"] = required
    return {"required": bool(required), "content": {"application/json": {"schema": schema}}}


def _responses(operation: AnyOperation, route: Route, answer: JsonObject) -> JsonObject:
    success: JsonObject = {"description": operation.summary, "headers": _QUOTA_HEADERS}
    if route.status != 204:
        success["content"] = {"application/json": {"schema": answer}}
    failures = {
        status: {"description": description, "content": ERROR_CONTENT}
        for status, description in _ERRORS.items()
        if operation.calls_stripe or status not in _STRIPE_ERRORS
    }
    return {str(route.status): success, **failures}
