"""What several subjects need: rows whose keys somebody else may take at the same moment, and long lists of keys."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel

IN_ONE = 10_000
"""Values in one condition."""


def add_unique(session: Session, row: SQLModel) -> bool:
    """Insert now; False when a unique key is taken, and then the transaction can only be rolled back."""
    session.add(row)
    try:
        session.flush()
    except IntegrityError:
        return False
    return True


def add_missing(session: Session, table: type[SQLModel], rows: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
    """Insert rows, leaving those whose key exists as they are; answers the primary keys of the new ones.

    On PostgreSQL a key that another transaction is just inserting is waited for.
    """
    if not rows:
        return []
    insert: Any = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgres_insert
    # By what comes back: drivers do not agree on a row count here.
    statement = insert(table).on_conflict_do_nothing().returning(*inspect(table).primary_key)
    return session.connection().execute(statement, list(rows)).all()


def parts(values: Iterable[str]) -> Iterator[list[str]]:
    """The distinct values in lists of at most IN_ONE: a database takes only so many parameters in a statement."""
    wanted = sorted(set(values))
    for start in range(0, len(wanted), IN_ONE):
        yield wanted[start : start + IN_ONE]


def grouped(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Pairs by their first part, for one statement each: no database walks an index for a list of pairs reliably."""
    seconds: dict[str, set[str]] = {}
    for first, second in pairs:
        seconds.setdefault(first, set()).add(second)
    for first in sorted(seconds):
        for part in parts(seconds[first]):
            yield first, part
