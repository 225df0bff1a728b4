"""Webhook endpoints: where events are delivered to, and which."""

import json
from ipaddress import ip_address
from urllib.parse import urlsplit

from rekomi_mcp.sandbox import API_VERSION
from rekomi_mcp.sandbox.errors import InvalidRequest
from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.pages import listing
from rekomi_mcp.sandbox.params import Boolean, Fields, ListOf, Metadata, Text, merged_metadata
from rekomi_mcp.sandbox.routes import Route, retrieving
from rekomi_mcp.sandbox.shapes import JsonObject, notes
from rekomi_mcp.sandbox.work import Work

OWN, CONNECTED, ALL = "own", "connected", "all"
"""Whose events an endpoint hears: the sandbox account's, those of connected accounts, or both."""


def listening_endpoints(work: Work, type: str) -> list[int]:
    """The seq of every endpoint of the sandbox's own account that wants this event."""
    hears = (CONNECTED if work.account else OWN, ALL)
    endpoints = work.db.execute("SELECT seq, body FROM objects WHERE account = '' AND type = 'webhook_endpoint'")
    listening: list[int] = []
    for seq, body in endpoints:
        endpoint = json.loads(body)
        wants = {"*", type} & set(endpoint["enabled_events"])
        if wants and endpoint["status"] == "enabled" and notes(endpoint)["hears"] in hears:
            listening.append(seq)
    return listening


def is_loopback(host: str | None) -> bool:
    """Whether a host name certainly means this machine."""
    if host is None:
        return False
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def new_endpoint(work: Work, url: str, enabled_events: list[str], secret: str, hears: str) -> JsonObject:
    """A webhook endpoint, not yet stored.

    Raises:
        InvalidRequest: the URL is not on this machine. Real Stripe has no such rule; the sandbox has, so that nothing
            it makes up ever leaves this machine.
    """
    _check_url(url)
    return {
        "id": new_id("we_"),
        "object": "webhook_endpoint",
        "api_version": API_VERSION,
        "application": None,
        "created": work.now,
        "description": None,
        "enabled_events": enabled_events,
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": url,
        "_": {"secret": secret, "hears": hears},
    }


def create_endpoint(work: Work, params: JsonObject) -> JsonObject:
    hears = CONNECTED if params.get("connect") else OWN
    endpoint = new_endpoint(work, params["url"], params["enabled_events"], new_id("whsec_"), hears)
    endpoint |= {
        "api_version": params.get("api_version"),
        "description": params.get("description"),
        "metadata": merged_metadata({}, params.get("metadata", {})),
    }
    work.add(endpoint)
    return endpoint | {"secret": notes(endpoint)["secret"]}


def update_endpoint(work: Work, id: str, params: JsonObject) -> JsonObject:
    endpoint = work.get("webhook_endpoint", id, "webhook_endpoint", in_path=True)
    if "url" in params:
        _check_url(params["url"])
    for name in ("description", "enabled_events", "url"):
        if name in params:
            endpoint[name] = params[name]
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    if "metadata" in params:
        endpoint["metadata"] = merged_metadata(endpoint["metadata"], params["metadata"])
    work.save(endpoint)
    return endpoint


def delete_endpoint(work: Work, id: str, params: JsonObject) -> JsonObject:
    work.remove(work.get("webhook_endpoint", id, "webhook_endpoint", in_path=True))
    work.db.execute("DELETE FROM deliveries WHERE endpoint NOT IN (SELECT seq FROM objects)")
    return {"id": id, "object": "webhook_endpoint", "deleted": True}


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not is_loopback(parts.hostname):
        message = "The sandbox delivers webhooks to this machine only: the url must begin with http://127.0.0.1."
        raise InvalidRequest(message, code="url_invalid", param="url")


_CHANGEABLE = {
    "description": Text(clearable=True),
    "enabled_events": ListOf(Text()),
    "metadata": Metadata(),
    "url": Text(),
}

ROUTES = (
    Route(
        "POST",
        "/v1/webhook_endpoints",
        create_endpoint,
        Fields(_CHANGEABLE | {"api_version": Text(), "connect": Boolean()}, required=("url", "enabled_events")),
    ),
    listing("/v1/webhook_endpoints", "webhook_endpoint", dated=False),
    retrieving("/v1/webhook_endpoints/{webhook_endpoint}", "webhook_endpoint"),
    Route(
        "POST",
        "/v1/webhook_endpoints/{webhook_endpoint}",
        update_endpoint,
        Fields(_CHANGEABLE | {"disabled": Boolean()}),
    ),
    Route("DELETE", "/v1/webhook_endpoints/{webhook_endpoint}", delete_endpoint),
)
