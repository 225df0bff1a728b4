"""The part of the OpenAPI description that is not of the catalogue: health, Stripe's deliveries, what pages ask for."""

from __future__ import annotations

from typing import Any

from rekomi_mcp.transports import brand_pages

JsonObject = dict[str, Any]

ERROR_CONTENT: JsonObject = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_ANY_OBJECT: JsonObject = {"application/json": {"schema": {"type": "object"}}}


def _path(operation_id: str, summary: str, description: str, responses: JsonObject, **more: Any) -> JsonObject:
    described: JsonObject = {
        "operationId": operation_id,
        "summary": summary,
        "description": description,
        "security": [],
    }
    return {**described, "responses": responses, **more}


def _script(summary: str, media_type: str) -> JsonObject:
    return {"200": {"description": summary, "content": {media_type: {"schema": {"type": "string"}}}}}


def _permission(operation_id: str) -> JsonObject:
    summary = "Permission for pages"
    description = "What browsers ask before a page of another site may send JSON."
    return _path(operation_id, summary, description, {"204": {"description": "Any page may."}})


# Nothing is refused here, so nothing is demanded either: what does not fit is answered like what is not known.
_ANYTHING: JsonObject = {
    "required": False,
    "content": {"application/json": {"schema": {}}, "text/plain": {"schema": {}}},
}

OTHER_PATHS: JsonObject = {
    "/healthz": {
        "get": _path(
            "health",
            "Health",
            "Whether the server and its database answer. No token is needed.",
            {
                "200": {"description": "Well.", "content": _ANY_OBJECT},
                "503": {"description": "The database does not answer.", "content": _ANY_OBJECT},
            },
        )
    },
    "/webhooks/stripe": {
        "post": _path(
            "stripe_webhook",
            "Stripe webhook",
            "For Stripe's deliveries: signed, stored, answered at once and worked off later.",
            {
                "200": {"description": "Stored.", "content": _ANY_OBJECT},
                **{
                    status: {"description": description, "content": ERROR_CONTENT}
                    for status, description in (
                        ("400", "The signature does not hold, or it is no event."),
                        ("404", "No signing secret is set."),
                        ("413", "The body is too large."),
                    )
                },
            },
            parameters=[{"name": "Stripe-Signature", "in": "header", "required": True, "schema": {"type": "string"}}],
            requestBody={"required": True, "content": _ANY_OBJECT},
        )
    },
    brand_pages.LOADER: {
        "get": _path(
            "tracking_script",
            "Tracking script",
            "What the snippet of get_install_snippet loads. With `?program=` it knows the brand's own parameters.",
            _script("The script.", "text/javascript"),
        )
    },
    brand_pages.PIXEL: {
        "get": _path("pixel", "Pixel", "An empty picture, for pages without scripts.", _script("It.", "image/gif"))
    },
    brand_pages.DEFAULTS: {
        "get": _path(
            "attribution_param_defaults",
            "Usual attribution parameters",
            "The query parameters that name an affiliate everywhere, and what a brand's own may be.",
            {"200": {"description": "The list and its limits.", "content": _ANY_OBJECT}},
        )
    },
    brand_pages.CLICK: {
        "post": _path(
            "track_click",
            "Track click",
            "For the tracking script: `{slugs, programId?, clickId?, visitorId?, referrer?, utm_source?, …, sub_id?}`. "
            "The first slug that leads to an affiliate counts.",
            {
                "200": {
                    "description": "`{clickId, visitorId, slug, cookieWindowDays, attributionModel}`",
                    "content": _ANY_OBJECT,
                },
                "204": {"description": "No click came of it."},
            },
            requestBody=_ANYTHING,
        ),
        "options": _permission("track_click_permission"),
    },
    brand_pages.SIGNUP: {
        "post": _path(
            "track_signup",
            "Track signup",
            "For the tracking script: `{slug, email, name?, programId?, clickId?}`. The answer never says whether a lead "
            "was recorded.",
            {"200": {"description": '`{"ok": true}`, always.', "content": _ANY_OBJECT}},
            requestBody=_ANYTHING,
        ),
        "options": _permission("track_signup_permission"),
    },
}
