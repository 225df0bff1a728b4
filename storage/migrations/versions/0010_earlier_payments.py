"""Payments of subscriptions that were made before this server heard of them."""

import sqlalchemy as sa
from alembic import op

from rekomi_mcp.storage.columns import UtcDateTime

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "earlier_payment",
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("paid_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"]),
        sa.PrimaryKeyConstraint("organization_id", "subscription_id", "invoice_id"),
    )


def downgrade() -> None:
    op.drop_table("earlier_payment")
