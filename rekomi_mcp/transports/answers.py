"""Answers for an assistant: without nulls, lists without details unless asked for, and none longer than it can use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_json

from rekomi_mcp.domain.errors import InvalidInput
from rekomi_mcp.operation import DETAIL, AnyOperation
from rekomi_mcp.pipeline import Call, Pipeline
from rekomi_mcp.transports.schemas import JsonSchema, item_of

MAX_CHARS = 40_000
"""About 10,000 tokens: less than any client cuts off, and enough for 50 items of anything."""
DETAIL_ARGUMENT, NOTE = "detail", "note"
DETAIL_SCHEMA: JsonSchema = {
    "type": "string",
    "enum": ["concise", "detailed"],
    "default": "concise",
    "description": "detailed adds fields.",
}
NOTE_SCHEMA: JsonSchema = {"type": "string", "description": "What was cut, and how to go on."}


@cache
def details_of(operation: AnyOperation) -> frozenset[str]:
    """The fields of a list's items that a concise answer leaves out, by their wire names."""
    item = item_of(operation.output)
    return frozenset() if item is None else frozenset(_details(item))


def _details(item: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in item.model_fields.items() if field.json_schema_extra == DETAIL]


def take_detail(operation: AnyOperation, arguments: dict[str, Any]) -> tuple[bool, InvalidInput | None]:
    """Whether the arguments ask for details, or why they do not make sense. It is taken out of them."""
    if not details_of(operation) or DETAIL_ARGUMENT not in arguments:
        return False, None
    wanted = arguments.pop(DETAIL_ARGUMENT)
    if wanted in (None, "concise", "detailed"):
        return wanted == "detailed", None
    return False, InvalidInput("detail is concise or detailed.", field=DETAIL_ARGUMENT)


async def within_budget(pipeline: Pipeline, call: Call, detailed: bool) -> tuple[dict[str, Any], str]:
    """The answer, also as text; of a list too long for an assistant a shorter page, whose cursor goes on from there."""
    operation = call.operation
    content = presented(operation, (await pipeline.execute(call)).body, detailed)
    text = compact(content)
    if len(text) <= MAX_CHARS or (shown := fitting(content)) is None:
        return content, text
    asked = len(content["items"])
    call = replace(call, arguments={**cast(dict[str, Any], call.arguments), "take": shown})
    content = presented(operation, (await pipeline.execute(call)).body, detailed)
    content[NOTE] = cut_note(operation, shown, asked)
    return content, compact(content)


def presented(operation: AnyOperation, body: Mapping[str, Any], detailed: bool) -> dict[str, Any]:
    """What an assistant is shown of an answer."""
    content: dict[str, Any] = without_nulls(body)
    hidden = frozenset[str]() if detailed else details_of(operation)
    if hidden:
        content["items"] = [{k: v for k, v in item.items() if k not in hidden} for item in content["items"]]
    return content


def fitting(content: Mapping[str, Any]) -> int | None:
    """How many of a list's items fit into one answer; None when all do, or it is no list."""
    items = cast(list[Any], content.get("items") or [])
    room = MAX_CHARS - len(compact({**content, "items": []}))
    for number, item in enumerate(items):
        room -= len(compact(item)) + 1
        if room < 0:
            return max(1, number) if len(items) > 1 else None
    return None


def cut_note(operation: AnyOperation, shown: int, asked: int) -> str:
    """What to do about items that did not fit."""
    filters = [f.alias or n for n, f in operation.input.model_fields.items() if n not in ("take", "cursor")]
    narrow = f", or narrow the list with {', '.join(filters)}" if filters else ""
    return f"{shown} of the {asked} asked for fit into one answer: go on with nextCursor{narrow}."


def without_nulls(value: Any) -> Any:
    """The answer without its null fields, which say nothing and cost an assistant tokens."""
    if isinstance(value, list):
        return [without_nulls(item) for item in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    # Most of an answer is text and numbers, for which a call each would be most of the time.
    fields = cast(dict[str, Any], value).items()
    return {k: without_nulls(v) if isinstance(v, dict | list) else v for k, v in fields if v is not None}


def compact(body: Any) -> str:
    return to_json(body).decode()
