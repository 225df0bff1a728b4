"""Opaque cursors for lists in keyset order."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Final

from rekomi_mcp.domain.errors import InvalidInput

DEFAULT_TAKE: Final = 50
MAX_TAKE: Final = 200

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_END_OF_TIME: Final = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND


def encode_cursor(list_name: str, at: datetime, row_id: str) -> str:
    """A cursor that continues the named list after the row with this time and id."""
    return _encode([list_name, (at - _EPOCH) // _MICROSECOND, row_id])


def decode_cursor(list_name: str, cursor: str) -> tuple[datetime, str]:
    """The (time, id) after which to continue.

    Raises:
        InvalidInput: the cursor is not one of this list's.
    """
    match _decode(cursor):
        case [str(name), int(microseconds), str(row_id)] if (
            name == list_name
            and not isinstance(microseconds, bool)
            and 0 <= microseconds < _END_OF_TIME
            and row_id.isascii()
            and row_id.isprintable()
        ):
            return _EPOCH + microseconds * _MICROSECOND, row_id
        case _:
            raise foreign_cursor()


def encode_number(list_name: str, number: int) -> str:
    """A cursor that continues the named list after the row with this number."""
    return _encode([list_name, number])


def decode_number(list_name: str, cursor: str) -> int:
    """The number after which to continue.

    Raises:
        InvalidInput: the cursor is not one of this list's.
    """
    match _decode(cursor):
        case [str(name), int(number)] if name == list_name and not isinstance(number, bool) and 0 <= number < 2**62:
            return number
        case _:
            raise foreign_cursor()


def encode_id(list_name: str, row_id: str) -> str:
    """A cursor that continues the named list after the row with this id."""
    return _encode([list_name, row_id])


def decode_id(list_name: str, cursor: str) -> str:
    """The id after which to continue.

    Raises:
        InvalidInput: the cursor is not one of this list's.
    """
    match _decode(cursor):
        case [str(name), str(row_id)] if name == list_name and row_id.isascii() and row_id.isprintable():
            return row_id
        case _:
            raise foreign_cursor()


def _encode(key: list[str | int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(key, separators=(",", ":")).encode()).rstrip(b"=").decode()


def _decode(cursor: str) -> object:
    try:
        return json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        return None


def foreign_cursor() -> InvalidInput:
    """What to tell whoever continues a list with a cursor that is not of it."""
    return InvalidInput(
        "This cursor does not belong to this list. Pass nextCursor of the previous page unchanged, or none.",
        field="cursor",
    )
