"""Beginnings of subscriptions whose promotion code was nobody's when they were told."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import inspect, tuple_
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from rekomi_mcp.storage.engine import Reader
from rekomi_mcp.storage.rows import parts
from rekomi_mcp.storage.tables import AffiliateCodeRow, BindingRow, SubscriptionStartRow

T = TypeVar("T")


def keep(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store beginnings. Of several tellings of one with the same code the earliest stays, whenever it comes."""
    if not rows:
        return
    insert: Any = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgres_insert
    statement, table = insert(SubscriptionStartRow), inspect(SubscriptionStartRow).local_table
    told, keys = statement.excluded, [column.name for column in table.primary_key]
    statement = statement.on_conflict_do_update(
        index_elements=keys,
        set_={column.name: told[column.name] for column in table.columns if column.name not in keys},
        where=tuple_(told.occurred_at, told.origin) <= tuple_(table.c.occurred_at, table.c.origin),
    )
    session.connection().execute(statement, list(rows))


def with_codes(session: Session, organization_id: str, promotion_code_ids: Iterable[str]) -> list[SubscriptionStartRow]:
    """The kept beginnings with one of these promotion codes."""
    query = select(SubscriptionStartRow).where(SubscriptionStartRow.organization_id == organization_id)
    wanted = parts(promotion_code_ids)
    return [
        row for ids in wanted for row in session.exec(query.where(col(SubscriptionStartRow.promotion_code_id).in_(ids)))
    ]


def are_there(session: Session, organization_id: str, promotion_code_id: str) -> bool:
    """Whether a subscription began with this promotion code while it was nobody's."""
    query = select(SubscriptionStartRow.subscription_id).where(
        SubscriptionStartRow.organization_id == organization_id,
        SubscriptionStartRow.promotion_code_id == promotion_code_id,
    )
    return session.exec(query.limit(1)).first() is not None


def adopted(session: Session, organization_id: str, customer_ids: Iterable[str]) -> list[SubscriptionStartRow]:
    """The kept beginnings of these customers whose code is somebody's now, and which have bound nobody yet."""
    query = _adopted(select(SubscriptionStartRow), organization_id)
    customer_id = col(SubscriptionStartRow.customer_id)
    return [row for ids in parts(customer_ids) for row in session.exec(query.where(customer_id.in_(ids)))]


def code_adopted_since(reader: Reader, organization_id: str, customer_id: str, before: datetime) -> str | None:
    """The text of a code with which the customer had begun a subscription by then, where `adopted` answers one."""
    query = _adopted(select(AffiliateCodeRow.code).select_from(SubscriptionStartRow), organization_id)
    of_customer = query.where(
        SubscriptionStartRow.customer_id == customer_id, SubscriptionStartRow.occurred_at <= before
    )
    first = of_customer.order_by(col(SubscriptionStartRow.occurred_at)).limit(1)
    return reader.connection().execute(first).scalar()


def _adopted(query: SelectOfScalar[T], organization_id: str) -> SelectOfScalar[T]:
    start, code, binding = SubscriptionStartRow, AffiliateCodeRow, BindingRow
    of_code = (col(code.organization_id) == start.organization_id) & (
        col(code.stripe_promotion_code_id) == start.promotion_code_id
    )
    of_subscription = (
        (col(binding.organization_id) == start.organization_id)
        & (col(binding.kind) == "subscription")
        & (col(binding.ref) == start.subscription_id)
    )
    of_the_same_time = (col(binding.bound_at) == start.occurred_at) & (col(binding.origin) != start.origin)
    is_later = (col(binding.bound_at) > start.occurred_at) | of_the_same_time
    joined = query.join(code, of_code).outerjoin(binding, of_subscription)
    return joined.where(start.organization_id == organization_id, col(binding.ref).is_(None) | is_later)
