"""What was in force before terms changed, signups by sales that cost nothing, and payments that are not counted."""

import sqlalchemy as sa
from alembic import op

from rekomi_mcp.storage.columns import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "past_terms",
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"]),
        sa.PrimaryKeyConstraint("organization_id", "subject_id", "until"),
    )
    op.add_column("lead", sa.Column("free_sale_at", UtcDateTime(), nullable=True))
    op.add_column("sale", sa.Column("is_counted", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.execute("UPDATE lead SET free_sale_at = created_at WHERE source = 'Stripe'")


def downgrade() -> None:
    op.drop_column("sale", "is_counted")
    op.drop_column("lead", "free_sale_at")
    op.drop_table("past_terms")
