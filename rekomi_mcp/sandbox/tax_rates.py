"""Tax rates: a percentage, contained in the price or added to it."""

from rekomi_mcp.sandbox.events import emit
from rekomi_mcp.sandbox.ids import new_id
from rekomi_mcp.sandbox.pages import listing
from rekomi_mcp.sandbox.params import Boolean, Fields, Metadata, Percentage, Text, merged_metadata
from rekomi_mcp.sandbox.routes import Route, retrieving
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.work import Work


def create_tax_rate(work: Work, params: JsonObject) -> JsonObject:
    rate: JsonObject = {
        "id": new_id("txr_"),
        "object": "tax_rate",
        "active": params.get("active", True),
        "country": params.get("country"),
        "created": work.now,
        "description": params.get("description"),
        "display_name": params["display_name"],
        "effective_percentage": params["percentage"],
        "flat_amount": None,
        "inclusive": params["inclusive"],
        "jurisdiction": params.get("jurisdiction"),
        "jurisdiction_level": None,
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "percentage": params["percentage"],
        "rate_type": "percentage",
        "state": None,
        "tax_type": None,
    }
    work.add(rate)
    emit(work, "tax_rate.created", rate)
    return rate


ROUTES = (
    Route(
        "POST",
        "/v1/tax_rates",
        create_tax_rate,
        Fields(
            {
                "active": Boolean(),
                "country": Text(),
                "description": Text(),
                "display_name": Text(),
                "inclusive": Boolean(),
                "jurisdiction": Text(),
                "metadata": Metadata(clearable=False),
                "percentage": Percentage(minimum=0, decimals=4),
            },
            required=("display_name", "inclusive", "percentage"),
        ),
    ),
    listing("/v1/tax_rates", "tax_rate", {"active": (Boolean(), "active"), "inclusive": (Boolean(), "inclusive")}),
    retrieving("/v1/tax_rates/{tax_rate}", "tax_rate"),
)
