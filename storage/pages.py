"""Lists in keyset order, newest first: the depth of a page costs nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Integer, Select, bindparam, func, literal, literal_column, select, tuple_
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
    rows = session.exec(query.order_by(at.desc(), row_id.desc()).limit(_literal(window.take + 1))).all()
    total = _total(session, query, len(rows), window)
    if len(rows) <= window.take:
        return Page(rows, None, total)
    last = rows[window.take - 1]
    return Page(rows[: window.take], encode_cursor(name, _value(last, at), _value(last, row_id)), total)


@dataclass(frozen=True, slots=True, eq=False)
class ColumnList:
    """A list that is read in columns, among which are the two it is ordered by. Its conditions name their values.

    Keep it: its statements are made the first time they are run, and making one takes longer than running it.
    """

    name: str
    query: Select[*tuple[Any, ...]]
    order: tuple[Mapped[datetime], Mapped[str]]
    make: Callable[[Iterable[Any]], Any]
    """Makes what a page holds of a row of columns."""


def newest_columns_first(session: Session, of: ColumnList, values: Mapping[str, Any], window: Window) -> Page[Any]:
    """The same in columns, which cost a fraction of entities."""
    given = dict(values)
    if window.cursor is not None:
        given["after_at"], given["after_id"] = decode_cursor(of.name, window.cursor)
    connection = session.connection()
    found = connection.execute(_statement(of, window.take, window.cursor is not None), given)
    rows = [of.make(row) for row in found.all()]
    total = None if window.cursor is not None else len(rows)
    if len(rows) <= window.take:
        return Page(rows, None, total)
    if window.cursor is None:
        total = _counted(connection.execute(_count(of), values).scalar_one())
    last = rows[window.take - 1]
    return Page(rows[: window.take], encode_cursor(of.name, *(_value(last, column) for column in of.order)), total)


@lru_cache(maxsize=256)
def _statement(of: ColumnList, take: int, continued: bool) -> Select[*tuple[Any, ...]]:
    query, (at, row_id) = of.query, of.order
    if continued:
        query = query.where(
            tuple_(at, row_id) < tuple_(bindparam("after_at", type_=UtcDateTime), bindparam("after_id"))
        )
    return query.order_by(at.desc(), row_id.desc()).limit(_literal(take + 1))


@lru_cache(maxsize=256)
def _count(of: ColumnList) -> Select[int]:
    return _counting(of.query)


def newest_numbers_first(
    session: Session, query: SelectOfScalar[R], name: str, number: Mapped[int], window: Window
) -> Page[R]:
    """One page of entities that are numbered without a gap, highest first."""
    if window.cursor is not None:
        query = query.where(number < decode_number(name, window.cursor))
    rows = session.exec(query.order_by(number.desc()).limit(_literal(window.take + 1))).all()
    total = _total(session, query, len(rows), window)
    if len(rows) <= window.take:
        return Page(rows, None, total)
    return Page(rows[: window.take], encode_number(name, _value(rows[window.take - 1], number)), total)


def _after(name: str, cursor: str, at: Mapped[datetime], row_id: Mapped[str]) -> ColumnElement[bool]:
    after_at, after_id = decode_cursor(name, cursor)
    return tuple_(at, row_id) < tuple_(literal(after_at, UtcDateTime), literal(after_id))


def _total(session: Session, query: Select[*tuple[Any, ...]], found: int, window: Window) -> int | None:
    """How many rows the list has, counted along the same index and no further than anybody wants to know."""
    if window.cursor is not None:
        return None
    if found <= window.take:
        return found
    return _counted(session.connection().execute(_counting(query)).scalar_one())


def _counting(query: Select[*tuple[Any, ...]]) -> Select[int]:
    condition = query.whereclause
    assert condition is not None, "every list is of one organization"
    return select(func.count()).select_from(
        select(_literal(1)).where(condition).limit(_literal(COUNT_UP_TO + 1)).subquery()
    )


def _literal(number: int) -> ColumnElement[int]:
    """Written out: with a limit it can see PostgreSQL keeps its plan, with a bound one it makes a new plan each time."""
    return literal_column(str(number), Integer)


def _counted(total: int) -> int | None:
    return total if total <= COUNT_UP_TO else None


def _value(row: Any, column: Any) -> Any:
    """The column's value in an entity or in a row of columns."""
    return getattr(row, column.key)
