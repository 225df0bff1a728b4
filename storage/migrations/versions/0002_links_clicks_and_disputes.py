"""Links that are renamed, clicks, signing secrets, adopted codes, and what disputes and late news need."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from rekomi_mcp.storage.columns import UtcDateTime

revision = "0002"
down_revision = "0001"

_INDEXED: tuple[tuple[str, str, list[str]], ...] = (
    ("affiliate_code_by_text", "affiliate_code", ["organization_id", "code"]),
    ("affiliate_link_newest_first", "affiliate_link", ["organization_id", "created_at", "id"]),
    ("sale_of_email", "sale", ["organization_id", "email_key", "occurred_at"]),
    ("reversal_of_sale", "reversal", ["organization_id", "sale_source", "sale_source_id"]),
    ("inbox_event_by_source", "inbox_event", ["account", "source", "received_at"]),
)


def _added() -> dict[str, tuple[sa.Column[Any], ...]]:
    """New columns by table; made afresh each time, as a column belongs to one table once it is used."""
    return {
        "organization": (sa.Column("attribution_params", sa.String(), nullable=True),),
        "program": (
            sa.Column("website_url", sa.String(), nullable=True),
            sa.Column("allow_self_purchases", sa.Boolean(), server_default=sa.false(), nullable=False),
        ),
        "affiliate_link": (sa.Column("destination_url", sa.String(), nullable=True),),
        "campaign_coupon": (sa.Column("adopted", sa.Boolean(), server_default=sa.false(), nullable=False),),
        "affiliate_code": (
            sa.Column("adopted", sa.Boolean(), server_default=sa.false(), nullable=False),
            sa.Column("told_at", UtcDateTime(), nullable=True),
        ),
        "sale": (
            sa.Column("email_key", sa.String(), nullable=True),
            sa.Column("referral", sa.JSON(), nullable=True),
            sa.Column("revision", sa.Integer(), server_default=sa.text("0"), nullable=False),
        ),
        "binding": (sa.Column("origin", sa.String(), nullable=True),),
        "reversal": (
            sa.Column("sale_source", sa.String(), nullable=True),
            sa.Column("sale_source_id", sa.String(), nullable=True),
            sa.Column("told_at", UtcDateTime(), nullable=True),
        ),
        "conversion": (
            sa.Column("on_hold_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
            sa.Column("flag", sa.String(), nullable=True),
            sa.Column("click_id", sa.String(), nullable=True),
        ),
    }


def upgrade() -> None:
    for table, columns in _added().items():
        for column in columns:
            op.add_column(table, column)
    for name, table, columns_of_index in _INDEXED:
        op.create_index(name, table, columns_of_index, unique=False)
    _make_link_slug()
    _make_click()
    _make_signing_secret()
    _make_sale_code()
    op.execute("UPDATE conversion SET method = 'customer' WHERE method = 'metadata_or_customer'")
    op.execute("UPDATE sale SET email_key = lower(customer_email) WHERE customer_email IS NOT NULL")
    op.execute(
        "INSERT INTO link_slug (slug, organization_id, link_id, created_at) "
        "SELECT slug, organization_id, id, created_at FROM affiliate_link"
    )


def _make_link_slug() -> None:
    op.create_table(
        "link_slug",
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("link_id", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"]),
        sa.ForeignKeyConstraint(["link_id"], ["affiliate_link.id"]),
        sa.PrimaryKeyConstraint("slug"),
    )
    op.create_index("ix_link_slug_link_id", "link_slug", ["link_id"], unique=False)


def _make_click() -> None:
    op.create_table(
        "click",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("program_id", sa.String(), nullable=False),
        sa.Column("affiliate_id", sa.String(), nullable=False),
        sa.Column("link_id", sa.String(), nullable=False),
        sa.Column("visitor_id", sa.String(), nullable=False),
        sa.Column("referrer_host", sa.String(), nullable=True),
        sa.Column("utm_source", sa.String(), nullable=True),
        sa.Column("utm_medium", sa.String(), nullable=True),
        sa.Column("utm_campaign", sa.String(), nullable=True),
        sa.Column("utm_term", sa.String(), nullable=True),
        sa.Column("utm_content", sa.String(), nullable=True),
        sa.Column("sub_id", sa.String(), nullable=True),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("country", sa.String(), nullable=True),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"]),
        sa.ForeignKeyConstraint(["program_id"], ["program.id"]),
        sa.ForeignKeyConstraint(["affiliate_id"], ["affiliate.id"]),
        sa.ForeignKeyConstraint(["link_id"], ["affiliate_link.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("click_of_visitor", "click", ["organization_id", "visitor_id", "occurred_at"], unique=False)
    op.create_index("click_newest_first", "click", ["organization_id", "occurred_at", "id"], unique=False)
    op.create_index(
        "click_of_affiliate", "click", ["organization_id", "affiliate_id", "occurred_at", "id"], unique=False
    )


def _make_signing_secret() -> None:
    op.create_table(
        "signing_secret",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "signing_secret_of_organization", "signing_secret", ["organization_id", "created_at", "id"], unique=False
    )


def _make_sale_code() -> None:
    op.create_table(
        "sale_code",
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("promotion_code_id", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"]),
        sa.ForeignKeyConstraint(["sale_id"], ["sale.id"]),
        sa.PrimaryKeyConstraint("organization_id", "promotion_code_id", "sale_id"),
    )
    op.create_index("sale_code_of_sale", "sale_code", ["sale_id"], unique=False)


def downgrade() -> None:
    for table in ("sale_code", "signing_secret", "click", "link_slug"):
        op.drop_table(table)
    for name, table, _ in _INDEXED:
        op.drop_index(name, table_name=table)
    for table, columns in _added().items():
        for column in reversed(columns):
            op.drop_column(table, column.name)
