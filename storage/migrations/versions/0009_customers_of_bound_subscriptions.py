"""Whose a subscription is that was bound by itself, before any money came; its sales know it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
BY_ITSELF = sa.text("customer_id IS NOT NULL")


def upgrade() -> None:
    op.add_column("binding", sa.Column("customer_id", sa.String(), nullable=True))
    binding = sa.table("binding", *map(sa.column, ("organization_id", "kind", "ref", "origin", "customer_id")))
    sale = sa.table("sale", *map(sa.column, ("organization_id", "subscription_id", "customer_id")))
    of_subscription = (sale.c.organization_id == binding.c.organization_id) & (sale.c.subscription_id == binding.c.ref)
    customer = sa.select(sa.func.min(sale.c.customer_id)).where(of_subscription).scalar_subquery()
    by_itself = binding.c.origin.like("subscription:%") | binding.c.origin.like("checkout:%")
    op.execute(binding.update().where(binding.c.kind == "subscription", by_itself).values(customer_id=customer))
    op.create_index(
        "binding_of_customer",
        "binding",
        ["organization_id", "customer_id"],
        sqlite_where=BY_ITSELF,
        postgresql_where=BY_ITSELF,
    )


def downgrade() -> None:
    op.drop_index("binding_of_customer", "binding")
    op.drop_column("binding", "customer_id")
