"""What several subjects need: rows whose keys somebody else may take at the same moment, and rows by pairs of columns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, false, inspect, or_
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped
from sqlmodel import Session, SQLModel


def add_unique(session: Session, row: SQLModel) -> bool:
    """Insert now; False when a unique key is taken, and then the transaction can only be rolled back."""
    session.add(row)
    try:
        session.flush()
    except IntegrityError:
        return False
    return True


def add_missing(session: Session, table: type[SQLModel], rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows, leaving those whose key exists as they are; answers how many are new.

    On PostgreSQL a key that another transaction is just inserting is waited for.
    """
    if not rows:
        return 0
    insert: Any = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgres_insert
    key = inspect(table).primary_key[0]
    # Counted by what comes back: drivers do not agree on a row count here.
    statement = insert(table).on_conflict_do_nothing().returning(key)
    return len(session.connection().execute(statement, list(rows)).all())


def in_pairs(first: Mapped[str], second: Mapped[str], pairs: Iterable[tuple[str, str]]) -> ColumnElement[bool]:
    """Whether two columns are one of these pairs; for a `first` that takes few values.

    SQLite does not walk an index for a list of row values, and reads the whole table instead.
    """
    seconds: dict[str, list[str]] = {}
    for one, other in sorted(pairs):
        seconds.setdefault(one, []).append(other)
    return or_(false(), *(and_(first == one, second.in_(others)) for one, others in seconds.items()))
