"""A coupon of the merchant's may take off more minor units than a 32-bit number holds."""

import sqlalchemy as sa
from alembic import op

from rekomi_mcp.storage.columns import UtcDateTime

revision = "0007"
down_revision = "0005"
_TABLE = "campaign_coupon"
_INDEXES = {
    "campaign_coupon_newest_first": ["organization_id", "created_at", "id"],
    "campaign_coupon_of_program": ["organization_id", "program_id", "created_at", "id"],
}


def upgrade() -> None:
    _hold_in(sa.BigInteger())


def downgrade() -> None:
    """It fails where a discount does not fit any more: no amount is made up."""
    _hold_in(sa.Integer())


def _hold_in(number: sa.Integer) -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rebuild(number)
    else:
        op.alter_column(_TABLE, "discount_value", type_=number, existing_nullable=False)


def _rebuild(number: sa.Integer) -> None:
    """The same rows in a new table of the same name: SQLite cannot change a column."""
    # The codes of these coupons are left without them for a moment; at the commit each must have its own again.
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute(f"CREATE TABLE {_TABLE}_before AS SELECT * FROM {_TABLE}")
    op.drop_table(_TABLE)
    op.create_table(
        _TABLE,
        *(sa.Column(name, sa.String(), nullable=False) for name in ("id", "organization_id", "program_id", "name")),
        sa.Column("discount_type", sa.String(), nullable=False),
        sa.Column("discount_value", number, nullable=False),
        sa.Column("discount_currency", sa.String(), nullable=True),
        sa.Column("duration", sa.String(), nullable=False),
        sa.Column("duration_in_months", sa.Integer(), nullable=True),
        sa.Column("max_redemptions_per_code", sa.Integer(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("allow_affiliate_self_mint", sa.Boolean(), nullable=False),
        sa.Column("overrides_click_attribution", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("stripe_coupon_id", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("archived_at", UtcDateTime(), nullable=True),
        sa.Column("adopted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"]),
        sa.ForeignKeyConstraint(["program_id"], ["program.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute(f"INSERT INTO {_TABLE} SELECT * FROM {_TABLE}_before")
    op.drop_table(f"{_TABLE}_before")
    for name, columns in _INDEXES.items():
        op.create_index(name, _TABLE, columns)
