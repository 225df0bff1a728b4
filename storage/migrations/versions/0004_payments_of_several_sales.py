"""A payment may have paid several sales, each with a part of it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
_INDEX = ("sale_payment_of_sale", ["organization_id", "source", "source_id"])


def upgrade() -> None:
    _rebuild(("organization_id", "payment_id", "source", "source_id"), sa.Column("amount_minor", sa.BigInteger()))


def downgrade() -> None:
    """Of what a payment paid one is kept; an invoice rather than the checkout that is one sale with it."""
    op.execute(
        "DELETE FROM sale_payment WHERE EXISTS (SELECT 1 FROM sale_payment o WHERE o.organization_id ="
        " sale_payment.organization_id AND o.payment_id = sale_payment.payment_id AND (o.source > sale_payment.source"
        " OR (o.source = sale_payment.source AND o.source_id < sale_payment.source_id)))"
    )
    _rebuild(("organization_id", "payment_id"))


def _rebuild(key: tuple[str, ...], *added: sa.Column[int]) -> None:
    """The same rows in a new table, for SQLite cannot change a key."""
    columns = "organization_id, payment_id, source, source_id"
    op.execute(f"CREATE TABLE sale_payment_before AS SELECT {columns} FROM sale_payment")
    op.drop_table("sale_payment")
    op.create_table(
        "sale_payment",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("organization_id", "payment_id")),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("source", "source_id")),
        *added,
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"]),
        sa.PrimaryKeyConstraint(*key),
    )
    op.execute(f"INSERT INTO sale_payment ({columns}) SELECT {columns} FROM sale_payment_before")
    op.drop_table("sale_payment_before")
    op.create_index(_INDEX[0], "sale_payment", _INDEX[1])
