"""Doors for sellers' servers: sales and signups, signed over the raw body, at their documented addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rekomi_mcp.domain.access import SignedCall
from rekomi_mcp.domain.errors import Refusal
from rekomi_mcp.operation import AnyOperation, Catalogue
from rekomi_mcp.pipeline import Call, Pipeline
from rekomi_mcp.transports.bodies import LARGE_BYTES, json_object, read_body
from rekomi_mcp.transports.http import Endpoint, answering_refusals, quota_headers
from rekomi_mcp.transports.identity import origin_of, server_key, signature_of

SALE_PATH = "/api/tracking/s2s"
LEAD_PATH = "/api/tracking/lead"
MAX_SIGNED_BYTES = LARGE_BYTES
"""The body is read before anybody knows whose it is, and a sale is a few hundred bytes."""
_CURRENCY = "USD"
"""Of a sale that names none, as this address is documented."""

JsonObject = dict[str, Any]


def build_tracking_routes(catalogue: Catalogue, pipeline: Pipeline) -> list[Route]:
    """The routes of those operations that are exposed: none on a server that only reads."""
    doors = (
        (SALE_PATH, catalogue.get("record_sale"), _with_currency, sale_answer),
        (LEAD_PATH, catalogue.get("record_lead"), dict, _lead_answer),
    )
    return [
        Route(path, _endpoint(operation, pipeline, arguments, answer), methods=["POST"])
        for path, operation, arguments, answer in doors
        if operation is not None and catalogue.exposes(operation)
    ]


def _endpoint(
    operation: AnyOperation,
    pipeline: Pipeline,
    arguments_of: Callable[[JsonObject], JsonObject],
    answer_of: Callable[[Mapping[str, Any]], JsonObject],
) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        sender = server_key(request.headers)
        body = await read_body(request, MAX_SIGNED_BYTES)
        signature = signature_of(request.headers, body)
        arguments, malformed = read_json(body)
        call = Call(
            operation=operation,
            credential=SignedCall(sender, signature),
            arguments=arguments_of(arguments),
            malformed=malformed,
            origin=origin_of(request),
        )
        answer = await pipeline.execute(call)
        return JSONResponse(answer_of(answer.body), headers=quota_headers(answer.quota))

    return answering_refusals(endpoint)


def read_json(body: bytes) -> tuple[JsonObject, Refusal | None]:
    """The body's arguments, or why there are none; the caller's identity comes before that."""
    try:
        return json_object(body), None
    except Refusal as refusal:
        return {}, refusal


def _with_currency(arguments: JsonObject) -> JsonObject:
    return {"currency": _CURRENCY, **arguments}


def sale_answer(body: Mapping[str, Any]) -> JsonObject:
    """`{ok, conversionId}` or `{ok, deduped}`; of a sale that nobody earned on, also why."""
    if body["deduped"]:
        return {"ok": True, "deduped": True}
    answer: JsonObject = {"ok": True, "conversionId": body["conversionId"]}
    if body["explanation"] is not None:
        answer |= {"outcome": body["outcome"], "explanation": body["explanation"]}
    return answer


def _lead_answer(body: Mapping[str, Any]) -> JsonObject:
    return {"ok": True, "deduped": True} if body["deduped"] else {"ok": True, "leadId": body["id"]}
