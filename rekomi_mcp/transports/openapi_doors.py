"""How the doors of sellers' servers are described: operations that have a second address, signed."""

from __future__ import annotations

from typing import Any

from rekomi_mcp.operation import Catalogue

JsonObject = dict[str, Any]

_ERROR_CONTENT: JsonObject = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_ERRORS = {
    "400": "Bad input; the message says how to mend it.",
    "401": "No token, or a signature that is missing, stale or wrong; `error` says which.",
    "402": "The organization has no live subscription or trial.",
    "403": "The token is read-only, or a page of another site sent it.",
    "404": "No such affiliate, code or program in this organization.",
    "409": "The same id was told before, and otherwise.",
    "413": "The body is too large.",
    "421": "The Host header is no name of this server's.",
    "429": "Too many calls; `Retry-After` says how many seconds to wait.",
    "500": "The server failed; nothing was changed.",
}
_SIGNATURE: JsonObject = {
    "name": "X-Rekomi-Signature",
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "description": "`t=<unix>,sig=<hex>`: HMAC-SHA256 of `<unix>.<raw body>` with a signing secret, within 300 seconds.",
}
_KEY: JsonObject = {
    "name": "X-Rekomi-Api-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The rk_live_ token, when it is not sent as Authorization.",
}
_TEXT: JsonObject = {"type": "string"}
_POSTBACK: JsonObject = {
    "offer_id": "The program's id or slug.",
    "coupon": "The affiliate's live code, in any case.",
    "transaction_id": "The sale's own id: the same id is recorded once.",
    "amount": "Net of discount and tax, in major units: 49.90; or give amount_cents.",
    "amount_cents": "The same in minor units.",
    "currency": "The organization's home currency when left out.",
    "click_id": "A recorded click of the same customer.",
    "customer_id": "Your id of the customer.",
    "email": "The customer's e-mail address.",
    "org": "The organization's slug, when the parameters are signed.",
    "t": "The time of signing, in Unix seconds.",
    "sig": "HMAC-SHA256 of the other parameters' canonical query string with a signing secret, in hex.",
}
_POSTBACK_REQUIRED = ("offer_id", "coupon", "transaction_id")


def door_paths(catalogue: Catalogue, schemas: JsonObject) -> JsonObject:
    """The paths of the doors that are open: none on a server that only reads."""
    paths: JsonObject = {}
    sale, lead = catalogue.get("record_sale"), catalogue.get("record_lead")
    if sale is not None and catalogue.exposes(sale):
        body = _body(schemas[sale.input.__name__], optional=("currency",))
        about = "Record a sale, signed by the seller's server; in USD when no currency is given."
        paths["/api/tracking/s2s"] = {"post": _signed("tracking_s2s", "Signed sale", about, body)}
        paths["/postback"] = _postback()
    if lead is not None and catalogue.exposes(lead):
        body = _body(schemas[lead.input.__name__])
        about = "Record a signup, signed by the seller's server."
        paths["/api/tracking/lead"] = {"post": _signed("tracking_lead", "Signed lead", about, body)}
    return paths


def _signed(operation_id: str, summary: str, description: str, body: JsonObject) -> JsonObject:
    return {
        "operationId": operation_id,
        "summary": summary,
        "description": description,
        "tags": ["server"],
        "parameters": [_SIGNATURE, _KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": _responses(),
    }


def _postback() -> JsonObject:
    common: JsonObject = {
        "summary": "Postback",
        "description": "Record a sale as trackers tell it, by an affiliate's coupon. Keyed by a token in a header, or by "
        "org, t and sig among the parameters.",
        "tags": ["server"],
        "security": [{"bearer": []}, {}],
        "responses": _responses(),
    }
    parameters = [
        {"name": name, "in": "query", "required": name in _POSTBACK_REQUIRED, "schema": _TEXT, "description": text}
        for name, text in _POSTBACK.items()
    ]
    form: JsonObject = {
        "type": "object",
        "additionalProperties": False,
        "required": list(_POSTBACK_REQUIRED),
        "properties": {name: {**_TEXT, "description": text} for name, text in _POSTBACK.items()},
    }
    kinds = ("application/x-www-form-urlencoded", "application/json")
    body: JsonObject = {"required": True, "content": {kind: {"schema": form} for kind in kinds}}
    return {
        "get": {"operationId": "postback", "parameters": parameters, **common},
        "post": {"operationId": "postback_post", "requestBody": body, **common},
    }


def _body(schema: JsonObject, optional: tuple[str, ...] = ()) -> JsonObject:
    required = [name for name in schema.get("required", []) if name not in optional]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": schema["properties"],
        "required": required,
    }


def _responses() -> JsonObject:
    return {
        "200": {
            "description": "Recorded, now or before.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        **{status: {"description": text, "content": _ERROR_CONTENT} for status, text in _ERRORS.items()},
    }
