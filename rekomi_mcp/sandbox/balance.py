"""The balance: what customers have paid and not got back, by currency."""

from rekomi_mcp.sandbox.routes import Route
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.work import Work


def retrieve_balance(work: Work, params: JsonObject) -> JsonObject:
    """Everything is available at once; fees, payouts and disputes are not simulated here."""
    query = """
        SELECT json_extract(body, '$.currency'),
               sum(json_extract(body, '$.amount_captured') - json_extract(body, '$.amount_refunded'))
        FROM objects WHERE account = ? AND type = 'charge' GROUP BY 1
    """
    amounts = work.db.execute(query, (work.account,)).fetchall() or [("usd", 0)]
    return {
        "object": "balance",
        "available": [_funds(currency, amount) for currency, amount in amounts],
        "livemode": False,
        "pending": [_funds(currency, 0) for currency, _ in amounts],
    }


def _funds(currency: str, amount: int) -> JsonObject:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}


ROUTES = (Route("GET", "/v1/balance", retrieve_balance),)
