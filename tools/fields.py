"""Argument and answer types that many operations share."""

from datetime import UTC, date, datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from rekomi_mcp.domain import slugs
from rekomi_mcp.domain.errors import InvalidInput
from rekomi_mcp.domain.money import SUPPORTED_CURRENCIES
from rekomi_mcp.domain.paging import DEFAULT_TAKE, MAX_TAKE
from rekomi_mcp.domain.text import clean
from rekomi_mcp.operation import Input, Output

Mode = Literal["sandbox", "test", "live"]
FIRST_YEAR, LAST_YEAR = 1970, 9998
"""No time before computers, and none whose day after, or whose time in another zone, no calendar has."""
MAX_RAW_LENGTH = 4000
"""A line before it is cleaned: longer than any that is left long enough to be refused for its length."""
MAX_COUNT = 1_000_000_000
MAX_AMOUNT = 999_999_999_999
"""In minor units: Stripe takes twelve digits at most, and of most currencies fewer."""


def _currency(text: str) -> str:
    code = text.strip().upper()
    if code not in SUPPORTED_CURRENCIES:
        known = ", ".join(SUPPORTED_CURRENCIES)
        raise PydanticCustomError("unsupported_currency", "must be one of {known}", {"known": known})
    return code


def _is_visible(text: str) -> bool:
    """Without spaces, and without the characters that hide, or turn round, what a person reads."""
    return " " not in text and text.isprintable()


def _line(text: str) -> str:
    if len(text) > MAX_RAW_LENGTH:  # before any look at the characters, which costs far more than this one
        raise PydanticCustomError("too_long", "must be shorter: it is one line of text")
    return clean(text)


def _own_id(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("own_id", "must consist of visible characters")
    return text


def _email(text: str) -> str:
    address = text.strip()
    name, at, host = address.rpartition("@")
    if not (at and name and "." in host.strip(".") and len(address) <= 254 and _is_visible(address)):
        raise PydanticCustomError("email", "must be an e-mail address, for example sarah@example.com")
    return address


def _moment(value: object) -> object:
    """Accept a date for its first moment, and take a time without a zone as UTC."""
    if isinstance(value, str) and len(value) == 10:
        try:
            return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC)
        except ValueError:
            raise PydanticCustomError("moment", "must be a date or time, for example 2026-03-01T12:00:00Z") from None
    return value


def _aware(value: datetime) -> datetime:
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise PydanticCustomError("moment", "must be a time from 1970 to 9998, for example 2026-03-01T12:00:00Z")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _day(value: date) -> date:
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise PydanticCustomError("day", "must be a day from 1970 to 9998, for example 2026-03-01")
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


Slug = Annotated[str, AfterValidator(_slug), WithJsonSchema({"type": "string", "pattern": slugs.SLUG_PATTERN})]
Currency = Annotated[str, AfterValidator(_currency), Field(examples=["USD"])]
"""A supported ISO 4217 code, upper case."""
Email = Annotated[str, AfterValidator(_email), Field(max_length=254)]
Moment = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_aware)]
"""A time: ISO 8601, UTC when it has no zone; a date alone is its first moment."""
WebAddress = Annotated[str, AfterValidator(_web_address), StringConstraints(max_length=2000)]
Day = Annotated[date, AfterValidator(_day)]
Name = Annotated[str, AfterValidator(_line), StringConstraints(min_length=1, max_length=120)]
"""One line of visible text."""
Line = Annotated[str, AfterValidator(_line), StringConstraints(max_length=500)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
"""How often something may happen."""
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
"""An id of ours."""
OwnId = Annotated[str, AfterValidator(_own_id), StringConstraints(min_length=1, max_length=200)]
"""An id that callers chose."""
StripeId = Annotated[str, StringConstraints(min_length=1, max_length=255)]
"""An id of Stripe's, which may be longer."""


class ListInput(Input):
    """Arguments every list takes."""

    take: int = Field(default=DEFAULT_TAKE, ge=1, le=MAX_TAKE, description="How many to return at most.")
    cursor: str | None = Field(default=None, max_length=500, description="nextCursor of the page before.")


Item = TypeVar("Item", bound=Output)


class ListOutput(Output, Generic[Item]):
    """The envelope of every list."""

    items: list[Item]
    next_cursor: str | None = Field(default=None, description="The cursor of the next page.")
    has_more: bool
    total: int | None = Field(default=None, description="All that match; only on the first page, and up to 1,000.")
