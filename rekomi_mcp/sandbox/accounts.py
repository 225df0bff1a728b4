"""Accounts: the sandbox's own, and connected ones, each with objects of its own."""

from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.pages import listing
from rekomi_mcp.sandbox.params import AnyFields, Boolean, Choice, Currency, Fields, Metadata, Text, merged_metadata
from rekomi_mcp.sandbox.routes import Route, retrieving
from rekomi_mcp.sandbox.shapes import JsonObject, list_of
from rekomi_mcp.sandbox.work import Work

OWN_ACCOUNT = "acct_1SANDBOX000000"
"""The sandbox's own account, which a request without a Stripe-Account header acts for."""


def create_account(work: Work, params: JsonObject) -> JsonObject:
    account = _account(new_id("acct_"), work.now) | {
        name: params[name]
        for name in ("business_type", "country", "default_currency", "email", "type")
        if name in params
    }
    account["capabilities"] = {
        name: "active" for name, asked in params.get("capabilities", {}).items() if asked.get("requested")
    }
    account["metadata"] = merged_metadata({}, params.get("metadata", {}))
    work.add(account)
    return account


def retrieve_own_account(work: Work, params: JsonObject) -> JsonObject:
    if work.account:
        return work.acting_for("", work.now).get("account", work.account, "account")
    return _account(OWN_ACCOUNT, 0)


def _account(id: str, created: int) -> JsonObject:
    """An account that may do everything: onboarding is not simulated."""
    return {
        "id": id,
        "object": "account",
        "business_profile": None,
        "business_type": None,
        "capabilities": {},
        "charges_enabled": True,
        "controller": {"type": "application", "is_controller": True},
        "country": "US",
        "created": created,
        "default_currency": "usd",
        "details_submitted": True,
        "email": None,
        "external_accounts": list_of([], f"/v1/accounts/{id}/external_accounts"),
        "future_requirements": _requirements(),
        "metadata": {},
        "payouts_enabled": True,
        "requirements": _requirements(),
        "settings": None,
        "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
        "type": "none",
    }


def _requirements() -> JsonObject:
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": [],
        "disabled_reason": None,
        "errors": [],
        "eventually_due": [],
        "past_due": [],
        "pending_verification": [],
    }


ROUTES = (
    Route(
        "POST",
        "/v1/accounts",
        create_account,
        Fields(
            {
                "business_type": Choice("company", "government_entity", "individual", "non_profit"),
                "capabilities": AnyFields(Fields({"requested": Boolean()})),
                "country": Text(),
                "default_currency": Currency(),
                "email": Text(),
                "metadata": Metadata(),
                "type": Choice("custom", "express", "standard"),
            }
        ),
    ),
    Route("GET", "/v1/account", retrieve_own_account),
    listing("/v1/accounts", "account"),
    retrieving("/v1/accounts/{account}", "account"),
)
