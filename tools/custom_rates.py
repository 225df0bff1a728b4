"""A code's own commission, as minting and adopting take it: three arguments of which two belong together."""

from decimal import Decimal

from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from rekomi_mcp.domain.commission import CommissionType, Rate
from rekomi_mcp.operation import Context, Input
from rekomi_mcp.tools import lookups
from rekomi_mcp.tools.rates import parse_rate


def require_pair(request: Input, first: str, second: str) -> None:
    """For a model's validator: both fields are given, or neither is.

    Raises:
        PydanticCustomError: naming the one that is missing.
    """
    if (getattr(request, first) is None) is not (getattr(request, second) is None):
        missing = to_camel(first if getattr(request, first) is None else second)
        words = {"field": missing, "first": to_camel(first), "second": to_camel(second)}
        raise PydanticCustomError("pair", "Give {first} and {second} together", words)


def custom_rate(
    context: Context, type_: CommissionType | None, value: Decimal | None, currency: str | None
) -> Rate | None:
    """The commission that was asked for; a fixed one is in the home currency unless told otherwise.

    Raises:
        InvalidInput: the value is out of range.
    """
    if type_ is None or value is None:
        return None
    currency = currency or lookups.organization(context).home_currency
    return parse_rate(type_, value, currency, field="customCommissionValue")
