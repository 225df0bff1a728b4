"""Argument and answer types that many operations share."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from rekomi_mcp.domain import destinations, slugs
from rekomi_mcp.domain.errors import InvalidInput
from rekomi_mcp.domain.money import SALE_CURRENCIES, SUPPORTED_CURRENCIES
from rekomi_mcp.domain.paging import DEFAULT_TAKE, MAX_TAKE
from rekomi_mcp.domain.text import clean
from rekomi_mcp.operation import Input, Output

FIRST_YEAR, LAST_YEAR = 1970, 9998
"""There are days and hours to reckon with around every moment of these years."""
_BEGINS_WITH_A_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DIGITS = re.compile(r"-?[0-9]{1,18}")
_NO_MOMENT = "must be a date or time, for example 2026-03-01T12:00:00Z"
Mode = Literal["sandbox", "test", "live"]
MAX_AMOUNT = 999_999_999_999
"""In minor units: Stripe takes twelve digits at most, and of most currencies fewer."""
MAX_RAW_LENGTH = 4000
"""A line before it is cleaned: longer than any that is left long enough to be refused for its length."""


def _currency(text: str) -> str:
    code = text.strip().upper()
    if code not in SUPPORTED_CURRENCIES:
        known = ", ".join(SUPPORTED_CURRENCIES)
        raise PydanticCustomError("unsupported_currency", "must be one of {known}", {"known": known})
    return code


def _sale_currency(text: str) -> str:
    code = text.strip().upper()
    if code not in SALE_CURRENCIES:
        raise PydanticCustomError(
            "unsupported_currency",
            "must be the three-letter code of a currency that Stripe has, for example USD or JPY",
        )
    return code


def _is_visible(text: str) -> bool:
    """Without spaces, and without the characters that hide, or turn round, what a person reads."""
    return " " not in text and text.isprintable()


def _line(text: str) -> str:
    if len(text) > MAX_RAW_LENGTH:  # before any look at the characters, which costs far more than this one
        raise PydanticCustomError("too_long", "must be shorter: it is one line of text")
    return clean(text)


def _own_id(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise PydanticCustomError("own_id", "must consist of visible characters")
    return text


def _email(text: str) -> str:
    address = text.strip()
    name, at, host = address.rpartition("@")
    if not (at and name and "." in host.strip(".") and len(address) <= 254 and _is_visible(address)):
        raise PydanticCustomError("email", "must be an e-mail address, for example sarah@example.com")
    return address


def _moment(value: object) -> object:
    """Accept a date for its first moment."""
    if isinstance(value, str):
        # Bare digits would be read as seconds since 1970, so that `2026` is a moment of that first evening.
        if not _BEGINS_WITH_A_DATE.match(value):
            raise PydanticCustomError("moment", _NO_MOMENT)
        if len(value) == len("2026-03-01"):
            try:
                return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC)
            except ValueError:
                raise PydanticCustomError("moment", _NO_MOMENT) from None
    elif not isinstance(value, datetime):
        raise PydanticCustomError("moment", _NO_MOMENT)
    return value


def _aware(value: datetime) -> datetime:
    """In UTC, which a time without a zone is taken to be in."""
    _require_year(value)  # before the zone is changed: the first and the last hours of the calendar have no UTC
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _day(value: object) -> object:
    if isinstance(value, str) and _BEGINS_WITH_A_DATE.match(value) and len(value) == len("2026-03-01"):
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise PydanticCustomError("day", "must be a day, for example 2026-03-01")


def _require_year(value: date) -> date:
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise PydanticCustomError(
            "year", "must be in the years {first} to {last}", {"first": FIRST_YEAR, "last": LAST_YEAR}
        )
    return value


def _flag(value: object) -> object:
    """A query has only text to say it with; a body has no need of `1` or `yes`."""
    if value in ("true", "false") or isinstance(value, bool):
        return value
    raise PydanticCustomError("flag", "must be true or false")


def _whole(value: object) -> object:
    """Digits are for queries, which have only text. In Python true is a number too."""
    if isinstance(value, bool) or (isinstance(value, str) and not _DIGITS.fullmatch(value)):
        raise PydanticCustomError("whole", "must be a whole number")
    return value


def require_order(since: datetime | None, until: datetime | None) -> None:
    """Refuse a span that ends before it begins.

    Raises:
        InvalidInput: naming `since`.
    """
    if since is not None and until is not None and since >= until:
        raise InvalidInput("since must be before until.", field="since")


def _slug(text: str) -> str:
    if not slugs.is_valid(text):
        raise PydanticCustomError("slug", "must be 3 to 64 of a-z, 0-9 and inner dashes, for example sarah-lee")
    return text


def _web_address(text: str) -> str:
    if not text.startswith(("https://", "http://")) or not _is_visible(text):
        raise PydanticCustomError("url", "must be a web address that begins with https://")
    return text


def _site_address(text: str) -> str:
    if not _is_visible(text) or not destinations.may_lead_to(text):
        raise PydanticCustomError(
            "site", "must be an address that begins with https://, for example https://shop.example"
        )
    return text


Slug = Annotated[str, AfterValidator(_slug), WithJsonSchema({"type": "string", "pattern": slugs.SLUG_PATTERN})]
Currency = Annotated[str, AfterValidator(_currency), Field(examples=["USD"])]
"""A supported ISO 4217 code, upper case."""
SaleCurrency = Annotated[str, AfterValidator(_sale_currency), Field(examples=["USD"])]
"""The code of a currency that sales may be in, upper case."""
Email = Annotated[str, AfterValidator(_email), Field(max_length=254)]
Number = Annotated[Decimal, WithJsonSchema({"type": "number"}, mode="validation")]
"""An exact number. Text that is one is taken too, but offering callers a choice would only make them think about it."""
Moment = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_aware)]
"""A time: ISO 8601, UTC when it has no zone; a date alone is its first moment."""
Day = Annotated[date, BeforeValidator(_day), AfterValidator(_require_year)]
"""A day of the organization's calendar."""
Flag = Annotated[bool, BeforeValidator(_flag)]
WHOLE = BeforeValidator(_whole)
"""Of an int, and behind its bounds: pydantic describes bounds that come after a validator in words of its own."""
Redemptions = Annotated[int, Field(ge=1, le=1_000_000_000), WHOLE]
"""How often a code may be used; a number that every database holds."""
WebAddress = Annotated[str, AfterValidator(_web_address), StringConstraints(max_length=2000)]
SiteAddress = Annotated[str, AfterValidator(_site_address), StringConstraints(max_length=2000)]
"""Where a link may lead: https, or this machine while trying things out."""
Name = Annotated[str, AfterValidator(_line), StringConstraints(min_length=1, max_length=120)]
"""One line of visible text."""
Line = Annotated[str, AfterValidator(_line), StringConstraints(max_length=500)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
"""An id of ours."""
OwnId = Annotated[str, AfterValidator(_own_id), StringConstraints(min_length=1, max_length=200)]
"""An id that callers chose."""
StripeId = Annotated[str, StringConstraints(min_length=1, max_length=255)]
"""An id of Stripe's, which may be longer."""


class ListInput(Input):
    """Arguments every list takes."""

    take: Annotated[int, Field(ge=1, le=MAX_TAKE), WHOLE] = Field(default=DEFAULT_TAKE, description="At most so many.")
    cursor: str | None = Field(default=None, max_length=500, description="nextCursor of the page before.")


Item = TypeVar("Item", bound=Output)


class ListOutput(Output, Generic[Item]):
    """The envelope of every list."""

    items: list[Item]
    next_cursor: str | None = Field(default=None, description="The cursor of the next page.")
    has_more: bool
    total: int | None = Field(default=None, description="All that match; only on the first page, and up to 1,000.")
