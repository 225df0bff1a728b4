"""Lists in keyset order, newest first: the depth of a page costs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, literal, tuple_
from sqlalchemy.orm import Mapped
from sqlmodel import Session
from sqlmodel.sql.expression import SelectOfScalar

from rekomi_mcp.domain.paging import decode_cursor, decode_number, encode_cursor, encode_number
from rekomi_mcp.storage.columns import UtcDateTime

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    rows: Sequence[R]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list to read: at most `take` rows after the cursor."""

    take: int
    cursor: str | None = None


def newest_first(
    session: Session,
    query: SelectOfScalar[R],
    name: str,
    at: Mapped[datetime],
    row_id: Mapped[str],
    window: Window,
) -> Page[R]:
    """One page of entities, ordered by (`at`, `row_id`) descending.

    Raises:
        InvalidInput: the cursor belongs to another list.
    """
    if window.cursor is not None:
        query = query.where(_after(name, window.cursor, at, row_id))
    rows = session.exec(query.order_by(at.desc(), row_id.desc()).limit(window.take + 1)).all()
    return _page(rows, name, at, row_id, window)


def newest_columns_first(
    session: Session,
    query: Select[*tuple[Any, ...]],
    name: str,
    at: Mapped[datetime],
    row_id: Mapped[str],
    window: Window,
) -> Page[Any]:
    """The same for a query of columns, among which must be the two it is ordered by."""
    if window.cursor is not None:
        query = query.where(_after(name, window.cursor, at, row_id))
    rows = session.connection().execute(query.order_by(at.desc(), row_id.desc()).limit(window.take + 1)).all()
    return _page(rows, name, at, row_id, window)


def newest_numbers_first(
    session: Session, query: SelectOfScalar[R], name: str, number: Mapped[int], window: Window
) -> Page[R]:
    """One page of entities that are numbered without a gap, highest first."""
    if window.cursor is not None:
        query = query.where(number < decode_number(name, window.cursor))
    rows = session.exec(query.order_by(number.desc()).limit(window.take + 1)).all()
    if len(rows) <= window.take:
        return Page(rows, None)
    return Page(rows[: window.take], encode_number(name, _value(rows[window.take - 1], number)))


def _after(name: str, cursor: str, at: Mapped[datetime], row_id: Mapped[str]) -> ColumnElement[bool]:
    after_at, after_id = decode_cursor(name, cursor)
    return tuple_(at, row_id) < tuple_(literal(after_at, UtcDateTime), literal(after_id))


def _page(rows: Sequence[Any], name: str, at: Mapped[datetime], row_id: Mapped[str], window: Window) -> Page[Any]:
    if len(rows) <= window.take:
        return Page(rows, None)
    last = rows[window.take - 1]
    return Page(rows[: window.take], encode_cursor(name, _value(last, at), _value(last, row_id)))


def _value(row: Any, column: Any) -> Any:
    """The column's value in an entity or in a row of columns."""
    return getattr(row, column.key)
