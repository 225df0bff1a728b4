"""The postback: a sale in one address, as trackers send it; keyed by a token in a header or signed in its parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rekomi_mcp.domain.access import Credential, Signature, SignedCall
from rekomi_mcp.domain.errors import InvalidInput, MethodNotAllowed, Refusal, SignatureRequired, Unauthenticated
from rekomi_mcp.operation import AnyOperation, Catalogue
from rekomi_mcp.pipeline import Call, Pipeline
from rekomi_mcp.transports.bodies import json_object, read_body
from rekomi_mcp.transports.http import Endpoint, answering_refusals, quota_headers
from rekomi_mcp.transports.identity import KEY_HEADER, SIGNATURE_HEADER, origin_of, server_key, signature_of, unix_of
from rekomi_mcp.transports.tracking import MAX_SIGNED_BYTES, sale_answer

PATH = "/postback"
_PROOF = ("org", "t", "sig")
"""Parameters that say who is calling and not what was sold."""
_UNIX = re.compile(r"[0-9]{1,20}")
_MAC = re.compile(r"[0-9A-Fa-f]{64}")

Parameters = dict[str, str]


def build_postback_route(catalogue: Catalogue, pipeline: Pipeline) -> list[Route]:
    """The route, where sales may be recorded at all: a server that only reads has none."""
    operation, sale = catalogue.get("record_postback"), catalogue.get("record_sale")
    if operation is None or sale is None or not catalogue.exposes(sale):
        return []
    return [Route(PATH, _endpoint(operation, pipeline), methods=["GET", "POST"])]


def canonical(parameters: Mapping[str, str]) -> bytes:
    """What is signed: all parameters but `sig`, sorted by name, percent-encoded as RFC 3986 has it."""
    pairs = sorted((name, value) for name, value in parameters.items() if name != "sig")
    return urlencode(pairs, quote_via=quote, safe="").encode()


def _endpoint(operation: AnyOperation, pipeline: Pipeline) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if request.method == "HEAD":  # which comes with every GET, and must not sell anything
            raise MethodNotAllowed("This path takes GET or POST.")
        body = await read_body(request, MAX_SIGNED_BYTES)
        parameters, malformed = _read(request, body)
        if malformed is not None and not _is_keyed(request):
            raise malformed  # what would say who is calling cannot be read either
        call = Call(
            operation=operation,
            credential=_credential(request, body, parameters),
            # Trackers fill in what they have: a name without a value is one that was not given.
            arguments={name: value for name, value in parameters.items() if value and name not in _PROOF},
            also_takes=_PROOF,
            malformed=malformed,
            origin=origin_of(request),
        )
        answer = await pipeline.execute(call)
        return JSONResponse(sale_answer(answer.body), headers=quota_headers(answer.quota))

    answering = answering_refusals(endpoint)

    async def uncached(request: Request) -> Response:
        response = await answering(request)
        response.headers["Cache-Control"] = "no-store"  # whoever repeats a GET must reach the server
        return response

    return uncached


def _is_keyed(request: Request) -> bool:
    return KEY_HEADER in request.headers or "authorization" in request.headers


def _credential(request: Request, body: bytes, parameters: Parameters) -> Credential:
    """Who is calling.

    Raises:
        Unauthenticated: nobody, or two ways at once.
    """
    headers, keyed = request.headers, _is_keyed(request)
    if "sig" not in parameters:
        if not keyed:
            raise SignatureRequired(
                "Send a token as `Authorization: Bearer rk_live_…`, or sign the parameters: org, t and sig; see "
                "docs/tracking.md. A token is never part of an address."
            )
        sender = server_key(headers)
        if headers.get(SIGNATURE_HEADER) is None:
            return sender
        if request.method == "GET":
            raise Unauthenticated("X-Rekomi-Signature signs a body. Sign a GET in its parameters, or POST it.")
        return SignedCall(sender, signature_of(headers, body))
    if keyed:
        raise Unauthenticated("Send a token or sign the parameters, not both.")
    unix, mac, organization = (parameters.get(name, "") for name in ("t", "sig", "org"))
    if not (_UNIX.fullmatch(unix) and _MAC.fullmatch(mac) and organization):
        raise SignatureRequired(
            "A signed postback names its organization's slug as org, the time of signing in Unix seconds as t, and the "
            "HMAC-SHA256 in hex as sig; see docs/tracking.md."
        )
    return SignedCall(organization, Signature(unix_of(unix), mac.lower(), canonical(parameters)))


def _read(request: Request, body: bytes) -> tuple[Parameters, Refusal | None]:
    """The parameters, or why they cannot be read; the caller's identity comes before that."""
    try:
        return _parameters(request, body), None
    except Refusal as refusal:
        return {}, refusal


def _parameters(request: Request, body: bytes) -> Parameters:
    query: bytes = request.scope["query_string"]
    if request.method == "GET":
        if body:
            raise InvalidInput("A GET has its parameters in the address and no body. Leave it out, or POST it.")
        return _form(query)
    if query:
        raise InvalidInput("A POST has its parameters in the body. Move them there, or send a GET.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return {name: _text(name, value) for name, value in json_object(body, parse_number=_Number).items()}
    if kind == "application/x-www-form-urlencoded":
        return _form(body)
    raise InvalidInput("Send the parameters as application/x-www-form-urlencoded or application/json.")


class _Number(str):
    """A number of a JSON body as it was written: a float would not be the same amount."""


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput("Every parameter is a text or a number.", field=name[:60])
    return str(value)


def _form(encoded: bytes) -> Parameters:
    try:
        pairs = parse_qsl(encoded.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:  # among them what is no ASCII, or no UTF-8 behind its percent signs
        if not encoded:
            return {}
        raise InvalidInput("The parameters are not percent-encoded UTF-8 pairs of name=value.") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidInput("A parameter is given twice. Give each once.")
    return found
