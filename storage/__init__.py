"""What the server remembers: one file a subject, loaded when first used.

`from rekomi_mcp import storage` costs nothing; `storage.programs` imports SQLAlchemy and the tables the first time it is
touched. An MCP client asks for the tool list before it asks for anything else, and that needs no database.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rekomi_mcp.storage import affiliates as affiliates
    from rekomi_mcp.storage import audit as audit
    from rekomi_mcp.storage import campaign_coupons as campaign_coupons
    from rekomi_mcp.storage import clicks as clicks
    from rekomi_mcp.storage import codes as codes
    from rekomi_mcp.storage import conversions as conversions
    from rekomi_mcp.storage import earlier_payments as earlier_payments
    from rekomi_mcp.storage import engine as engine
    from rekomi_mcp.storage import explanations as explanations
    from rekomi_mcp.storage import idempotency as idempotency
    from rekomi_mcp.storage import identity as identity
    from rekomi_mcp.storage import inbox as inbox
    from rekomi_mcp.storage import leads as leads
    from rekomi_mcp.storage import ledger as ledger
    from rekomi_mcp.storage import links as links
    from rekomi_mcp.storage import organizations as organizations
    from rekomi_mcp.storage import outbound as outbound
    from rekomi_mcp.storage import pages as pages
    from rekomi_mcp.storage import past_terms as past_terms
    from rekomi_mcp.storage import programs as programs
    from rekomi_mcp.storage import rows as rows
    from rekomi_mcp.storage import sale_payments as sale_payments
    from rekomi_mcp.storage import sales as sales
    from rekomi_mcp.storage import server_sales as server_sales
    from rekomi_mcp.storage import signing_secrets as signing_secrets
    from rekomi_mcp.storage import subscription_starts as subscription_starts
    from rekomi_mcp.storage import tables as tables
    from rekomi_mcp.storage import tokens as tokens

_SUBJECTS = frozenset(
    """affiliates audit campaign_coupons clicks codes conversions earlier_payments engine explanations idempotency identity
    inbox leads ledger links organizations outbound pages past_terms programs rows sale_payments sales server_sales
    signing_secrets subscription_starts tables tokens""".split()
)


def __getattr__(name: str) -> object:
    if name not in _SUBJECTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
