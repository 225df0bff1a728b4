"""Lists in keyset order, newest first: the depth of a page costs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, func, literal, select, tuple_
from sqlalchemy.orm import Mapped
from sqlmodel import Session
from sqlmodel.sql.expression import SelectOfScalar

from rekomi_mcp.domain.paging import decode_cursor, decode_number, encode_cursor, encode_number
from rekomi_mcp.storage.columns import UtcDateTime

R = TypeVar("R")
COUNT_UP_TO = 1_000


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    rows: Sequence[R]
    next_cursor: str | None
    total: int | None = None
    """How many rows the whole list has; counted for the first page, up to COUNT_UP_TO."""


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
    return _page(session, query, rows, name, at, row_id, window)


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
    return _page(session, query, rows, name, at, row_id, window)


def newest_numbers_first(
    session: Session, query: SelectOfScalar[R], name: str, number: Mapped[int], window: Window
) -> Page[R]:
    """One page of entities that are numbered without a gap, highest first."""
    if window.cursor is not None:
        query = query.where(number < decode_number(name, window.cursor))
    rows = session.exec(query.order_by(number.desc()).limit(window.take + 1)).all()
    total = _total(session, query, len(rows), window)
    if len(rows) <= window.take:
        return Page(rows, None, total)
    return Page(rows[: window.take], encode_number(name, _value(rows[window.take - 1], number)), total)


def _after(name: str, cursor: str, at: Mapped[datetime], row_id: Mapped[str]) -> ColumnElement[bool]:
    after_at, after_id = decode_cursor(name, cursor)
    return tuple_(at, row_id) < tuple_(literal(after_at, UtcDateTime), literal(after_id))


def _page(
    session: Session,
    query: Select[*tuple[Any, ...]],
    rows: Sequence[Any],
    name: str,
    at: Mapped[datetime],
    row_id: Mapped[str],
    window: Window,
) -> Page[Any]:
    total = _total(session, query, len(rows), window)
    if len(rows) <= window.take:
        return Page(rows, None, total)
    last = rows[window.take - 1]
    return Page(rows[: window.take], encode_cursor(name, _value(last, at), _value(last, row_id)), total)


def _total(session: Session, query: Select[*tuple[Any, ...]], found: int, window: Window) -> int | None:
    """How many rows the list has, counted along the same index and no further than anybody wants to know."""
    if window.cursor is not None:
        return None
    if found <= window.take:
        return found
    condition = query.whereclause
    assert condition is not None, "every list is of one organization"
    counted = select(literal(1)).where(condition).limit(COUNT_UP_TO + 1).subquery()
    total = session.connection().execute(select(func.count()).select_from(counted)).scalar_one()
    return total if total <= COUNT_UP_TO else None


def _value(row: Any, column: Any) -> Any:
    """The column's value in an entity or in a row of columns."""
    return getattr(row, column.key)
