"""Look-ups that are made at every call: written for the driver once, and run by its cursor.

Around a statement SQLAlchemy does what a look-up by key does not need, in several times the time that takes. Here it still
writes the statement and says how each column is read.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import BindParameter, CompoundSelect, Dialect, PoolProxiedConnection, Select

from rekomi_mcp.storage.engine import Glance, Reader, told

T = TypeVar("T")
Query = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]
Convert = Callable[[Any], Any]


class _Written(NamedTuple):
    """A statement in the words of one driver."""

    text: str
    fixed: dict[str, Any]
    """The values that are the statement's own."""
    order: Sequence[str] | None
    """In which order the driver wants the values; None when by name."""
    converts: Sequence[tuple[int, Convert]]
    """The columns that the driver does not answer as the store means them."""


class Prepared(Generic[T]):
    """A query of columns, and what becomes of a row of them. Its values are text or numbers, bound by name, none a list.

    What it is in the words of a driver is kept by the driver's name: a process has one store.
    """

    def __init__(self, query: Query, row: Callable[[Iterable[Any]], T]) -> None:
        self._query, self._row = query, row
        self._written: dict[str, _Written] = {}

    def rows(self, reader: Reader, values: dict[str, Any]) -> list[T]:
        """All rows, within the reader's transaction if it is in one.

        Raises:
            SQLAlchemyError: as for any other statement.
        """
        if isinstance(reader, Glance):
            driver, dialect = reader.driver(), reader.dialect
        else:
            connection = reader.connection()
            driver, dialect = connection.connection, connection.dialect
        written = self._written.get(dialect.name) or self._write(dialect)
        bound = written.fixed | values
        in_order = bound if written.order is None else [bound[name] for name in written.order]
        try:
            found = fetch(driver, written.text, in_order)
        except dialect.loaded_dbapi.Error as error:
            if dialect.is_disconnect(error, driver.dbapi_connection, None):
                # Asked again by SQLAlchemy, which fails too, and then lets go of all connections that are as old.
                reader.connection().execute(self._query, values)
            raise told(error, dialect, written.text) from error
        return [self._row(_converted(row, written.converts)) for row in found]

    def first(self, reader: Reader, values: dict[str, Any]) -> T | None:
        """The row, of a query that has at most one."""
        return next(iter(self.rows(reader, values)), None)

    def _write(self, dialect: Dialect) -> _Written:
        compiled: Any = self._query.compile(dialect=dialect)
        assert not compiled.post_compile_params, "a list of values makes another statement of each length"
        binds: dict[str, BindParameter[Any]] = compiled.binds
        implied = [bind.type.dialect_impl(dialect).bind_processor(dialect) for bind in binds.values()]
        assert not any(implied), "a value is handed to the driver as it is"
        types = [column.type.dialect_impl(dialect) for column in self._query.selected_columns]
        processors = [each.result_processor(dialect, None) for each in types]
        written = self._written[dialect.name] = _Written(
            text=compiled.string,
            fixed={name: bind.value for name, bind in binds.items() if not bind.required},
            order=compiled.positiontup,
            converts=[(place, convert) for place, convert in enumerate(processors) if convert is not None],
        )
        return written


def fetch(driver: PoolProxiedConnection, text: str, values: Any) -> Sequence[Any]:
    """What the driver answers."""
    with closing(driver.cursor()) as cursor:
        cursor.execute(text, values)
        return cursor.fetchall()


def _converted(row: Sequence[Any], converts: Sequence[tuple[int, Convert]]) -> Sequence[Any]:
    values = list(row)
    for place, convert in converts:
        values[place] = convert(values[place])
    return values
