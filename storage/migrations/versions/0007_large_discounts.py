"""A coupon of the merchant's may take off more minor units than a 32-bit number holds.

New databases have the wider column from the first schema on. SQLite's whole numbers have 64 bits whatever a column is called.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("campaign_coupon", "discount_value", type_=sa.BigInteger(), existing_nullable=False)


def downgrade() -> None:
    """Nothing: what is in the column may not fit into a narrower one."""
