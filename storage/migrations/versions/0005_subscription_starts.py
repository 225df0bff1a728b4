"""Beginnings of subscriptions whose promotion code was nobody's, and whether an organization has adopted such a code."""

import sqlalchemy as sa
from alembic import op

from rekomi_mcp.storage.columns import UtcDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "subscription_start",
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("promotion_code_id", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("at_checkout", sa.Boolean(), nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=True),
        sa.Column("promotion_code_ids", sa.JSON(), nullable=False),
        sa.Column("referral", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"]),
        sa.PrimaryKeyConstraint("organization_id", "promotion_code_id", "subscription_id"),
    )
    op.create_index("subscription_start_of_customer", "subscription_start", ["organization_id", "customer_id"])
    op.add_column(
        "organization", sa.Column("has_adopted_starts", sa.Boolean(), server_default=sa.false(), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("organization", "has_adopted_starts")
    op.drop_table("subscription_start")
