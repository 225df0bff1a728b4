"""Whether a campaign coupon was deleted in Stripe before anybody archived it here, as the audit log knows it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column(
        "campaign_coupon", sa.Column("ended_in_stripe", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    coupon = sa.table("campaign_coupon", sa.column("id"), sa.column("ended_in_stripe"))
    line = sa.table("audit_line", sa.column("action"), sa.column("entity_id"))
    deleted = sa.select(line.c.entity_id).where(line.c.action == "campaign_coupon.deleted_in_stripe")
    op.execute(coupon.update().where(coupon.c.id.in_(deleted)).values(ended_in_stripe=sa.true()))


def downgrade() -> None:
    op.drop_column("campaign_coupon", "ended_in_stripe")
