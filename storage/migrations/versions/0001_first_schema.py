"""The first schema."""

import sqlalchemy as sa
from alembic import op

from rekomi_mcp.storage.columns import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    for make in (
        _make_deployment,
        _make_inbox_event,
        _make_organization,
        _make_poll_cursor,
        _make_api_token,
        _make_audit_head,
        _make_audit_line,
        _make_idempotency_record,
        _make_outbound_call,
        _make_program,
        _make_reversal,
        _make_sale,
        _make_sale_payment,
        _make_affiliate,
        _make_campaign_coupon,
        _make_affiliate_code,
        _make_affiliate_link,
        _make_lead,
        _make_binding,
        _make_conversion,
        _make_ledger_entry,
    ):
        make()


def _make_deployment() -> None:
    op.create_table(
        "deployment",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _make_inbox_event() -> None:
    op.create_table(
        "inbox_event",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("api_version", sa.String(), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("stripe_created", UtcDateTime(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=False),
        sa.Column("processed_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("account", "event_id"),
    )
    op.create_index("inbox_event_by_age", "inbox_event", ["received_at"], unique=False)
    op.create_index(
        "inbox_event_due", "inbox_event", ["state", "next_attempt_at", "stripe_created", "event_id"], unique=False
    )


def _make_organization() -> None:
    op.create_table(
        "organization",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("billing_email", sa.String(), nullable=True),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("primary_brand_color", sa.String(), nullable=True),
        sa.Column("logo_url", sa.String(), nullable=True),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("white_label_enabled", sa.Boolean(), nullable=False),
        sa.Column("plan_tier", sa.String(), nullable=False),
        sa.Column("subscription_status", sa.String(), nullable=False),
        sa.Column("trial_ends_at", UtcDateTime(), nullable=True),
        sa.Column("payout_grace_days", sa.Integer(), nullable=False),
        sa.Column("home_currency", sa.String(), nullable=False),
        sa.Column("stripe_account", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slug"),
        sa.UniqueConstraint("stripe_account"),
    )


def _make_poll_cursor() -> None:
    op.create_table(
        "poll_cursor",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("read_until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("account"),
    )


def _make_api_token() -> None:
    op.create_table(
        "api_token",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sha256"),
    )
    op.create_index(op.f("ix_api_token_organization_id"), "api_token", ["organization_id"], unique=False)


def _make_audit_head() -> None:
    op.create_table(
        "audit_head",
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("organization_id"),
    )


def _make_audit_line() -> None:
    op.create_table(
        "audit_line",
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("entity_type", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=True),
        sa.Column("actor_type", sa.String(), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=True),
        sa.Column("ip", sa.String(), nullable=True),
        sa.Column("user_agent", sa.String(), nullable=True),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("audit_line_by_action", "audit_line", ["organization_id", "action", "seq"], unique=False)
    op.create_index("audit_line_by_entity", "audit_line", ["organization_id", "entity_type", "seq"], unique=False)


def _make_idempotency_record() -> None:
    op.create_table(
        "idempotency_record",
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_sha256", sa.String(), nullable=False),
        sa.Column("response", sa.JSON(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "operation", "key"),
    )
    op.create_index("idempotency_record_by_age", "idempotency_record", ["created_at"], unique=False)


def _make_outbound_call() -> None:
    op.create_table(
        "outbound_call",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("ticket", sa.JSON(), nullable=False),
        sa.Column("actor", sa.JSON(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("request_sha256", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("response", sa.JSON(), nullable=True),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("operation", "subject_id"),
    )
    op.create_index("outbound_call_due", "outbound_call", ["state", "next_attempt_at"], unique=False)
    op.create_index(
        "outbound_call_same", "outbound_call", ["organization_id", "operation", "request_sha256", "id"], unique=False
    )


def _make_program() -> None:
    op.create_table(
        "program",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("terms_url", sa.String(), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("commission_type", sa.String(), nullable=False),
        sa.Column("commission_value", sa.Integer(), nullable=False),
        sa.Column("commission_currency", sa.String(), nullable=True),
        sa.Column("commission_model", sa.String(), nullable=False),
        sa.Column("cookie_window_days", sa.Integer(), nullable=False),
        sa.Column("recurring_months", sa.Integer(), nullable=True),
        sa.Column("recurring_delay_invoices", sa.Integer(), nullable=False),
        sa.Column("attribution_model", sa.String(), nullable=False),
        sa.Column("auto_approve", sa.Boolean(), nullable=False),
        sa.Column("custom_domain", sa.String(), nullable=True),
        sa.Column("custom_domain_verified", sa.Boolean(), nullable=False),
        sa.Column("network_visibility", sa.String(), nullable=False),
        sa.Column("is_publicly_discoverable", sa.Boolean(), nullable=False),
        sa.Column("terms_version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("archived_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("organization_id", "slug"),
    )
    op.create_index("program_newest_first", "program", ["organization_id", "created_at", "id"], unique=False)


def _make_reversal() -> None:
    op.create_table(
        "reversal",
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("payment_intent_id", sa.String(), nullable=True),
        sa.Column("charge_id", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "id"),
    )
    op.create_index("reversal_of_charge", "reversal", ["organization_id", "charge_id"], unique=False)
    op.create_index("reversal_of_payment_intent", "reversal", ["organization_id", "payment_intent_id"], unique=False)


def _make_sale() -> None:
    op.create_table(
        "sale",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("source_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("gross_minor", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("customer_email", sa.String(), nullable=True),
        sa.Column("subscription_id", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("decision", sa.JSON(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("organization_id", "source", "source_id"),
    )
    op.create_index("sale_of_customer", "sale", ["organization_id", "customer_id", "occurred_at"], unique=False)
    op.create_index("sale_of_subscription", "sale", ["organization_id", "subscription_id", "occurred_at"], unique=False)


def _make_sale_payment() -> None:
    op.create_table(
        "sale_payment",
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("source_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "payment_id"),
    )
    op.create_index("sale_payment_of_sale", "sale_payment", ["organization_id", "source", "source_id"], unique=False)


def _make_affiliate() -> None:
    op.create_table(
        "affiliate",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("program_id", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("email_key", sa.String(), nullable=False),
        sa.Column("full_name", sa.String(), nullable=False),
        sa.Column("search_key", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("commission_type", sa.String(), nullable=True),
        sa.Column("commission_value", sa.Integer(), nullable=True),
        sa.Column("commission_currency", sa.String(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("notes", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("reject_reason", sa.String(), nullable=True),
        sa.Column("applied_at", UtcDateTime(), nullable=False),
        sa.Column("approved_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["program_id"],
            ["program.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("program_id", "email_key"),
    )
    op.create_index("affiliate_by_status", "affiliate", ["organization_id", "status", "created_at", "id"], unique=False)
    op.create_index("affiliate_newest_first", "affiliate", ["organization_id", "created_at", "id"], unique=False)
    op.create_index(
        "affiliate_of_program", "affiliate", ["organization_id", "program_id", "created_at", "id"], unique=False
    )


def _make_campaign_coupon() -> None:
    op.create_table(
        "campaign_coupon",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("program_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("discount_type", sa.String(), nullable=False),
        sa.Column("discount_value", sa.BigInteger(), nullable=False),
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
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["program_id"],
            ["program.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "campaign_coupon_newest_first", "campaign_coupon", ["organization_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "campaign_coupon_of_program",
        "campaign_coupon",
        ["organization_id", "program_id", "created_at", "id"],
        unique=False,
    )


def _make_affiliate_code() -> None:
    op.create_table(
        "affiliate_code",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("affiliate_id", sa.String(), nullable=False),
        sa.Column("program_id", sa.String(), nullable=False),
        sa.Column("campaign_coupon_id", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("commission_type", sa.String(), nullable=True),
        sa.Column("commission_value", sa.Integer(), nullable=True),
        sa.Column("commission_currency", sa.String(), nullable=True),
        sa.Column("max_redemptions", sa.Integer(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("first_order_only", sa.Boolean(), nullable=False),
        sa.Column("minimum_amount", sa.BigInteger(), nullable=True),
        sa.Column("minimum_amount_currency", sa.String(), nullable=True),
        sa.Column("stripe_promotion_code_id", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("deactivated_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["affiliate_id"],
            ["affiliate.id"],
        ),
        sa.ForeignKeyConstraint(
            ["campaign_coupon_id"],
            ["campaign_coupon.id"],
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["program_id"],
            ["program.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("organization_id", "stripe_promotion_code_id"),
    )
    op.create_index(
        "affiliate_code_live_text",
        "affiliate_code",
        ["organization_id", "code"],
        unique=True,
        sqlite_where=sa.text("status IN ('Pending', 'Active')"),
        postgresql_where=sa.text("status IN ('Pending', 'Active')"),
    )
    op.create_index(
        "affiliate_code_newest_first", "affiliate_code", ["organization_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "affiliate_code_of_affiliate",
        "affiliate_code",
        ["organization_id", "affiliate_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_affiliate_code_campaign_coupon_id"), "affiliate_code", ["campaign_coupon_id"], unique=False
    )


def _make_affiliate_link() -> None:
    op.create_table(
        "affiliate_link",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("affiliate_id", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("custom_alias", sa.String(), nullable=True),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["affiliate_id"],
            ["affiliate.id"],
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slug"),
    )
    op.create_index(op.f("ix_affiliate_link_affiliate_id"), "affiliate_link", ["affiliate_id"], unique=False)


def _make_lead() -> None:
    op.create_table(
        "lead",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("program_id", sa.String(), nullable=False),
        sa.Column("affiliate_id", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("email_key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("external_event_id", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["affiliate_id"],
            ["affiliate.id"],
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["program_id"],
            ["program.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("organization_id", "affiliate_id", "email_key"),
        sa.UniqueConstraint("organization_id", "external_event_id"),
    )
    op.create_index("lead_by_email", "lead", ["organization_id", "email_key", "created_at"], unique=False)
    op.create_index("lead_newest_first", "lead", ["organization_id", "created_at", "id"], unique=False)
    op.create_index("lead_of_affiliate", "lead", ["organization_id", "affiliate_id", "created_at", "id"], unique=False)


def _make_binding() -> None:
    op.create_table(
        "binding",
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("affiliate_id", sa.String(), nullable=False),
        sa.Column("program_id", sa.String(), nullable=False),
        sa.Column("code_id", sa.String(), nullable=True),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("bound_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["affiliate_id"],
            ["affiliate.id"],
        ),
        sa.ForeignKeyConstraint(
            ["code_id"],
            ["affiliate_code.id"],
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["program_id"],
            ["program.id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "kind", "ref"),
    )


def _make_conversion() -> None:
    op.create_table(
        "conversion",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("sale_id", sa.String(), nullable=False),
        sa.Column("program_id", sa.String(), nullable=False),
        sa.Column("affiliate_id", sa.String(), nullable=False),
        sa.Column("code_id", sa.String(), nullable=True),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("commission_minor", sa.BigInteger(), nullable=False),
        sa.Column("commission_currency", sa.String(), nullable=False),
        sa.Column("remaining_minor", sa.BigInteger(), nullable=False),
        sa.Column("rate_type", sa.String(), nullable=False),
        sa.Column("rate_value", sa.Integer(), nullable=False),
        sa.Column("rate_source", sa.String(), nullable=False),
        sa.Column("terms_version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("held_until", UtcDateTime(), nullable=False),
        sa.Column("refunded_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["affiliate_id"],
            ["affiliate.id"],
        ),
        sa.ForeignKeyConstraint(
            ["code_id"],
            ["affiliate_code.id"],
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.ForeignKeyConstraint(
            ["program_id"],
            ["program.id"],
        ),
        sa.ForeignKeyConstraint(
            ["sale_id"],
            ["sale.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sale_id"),
    )
    op.create_index(
        "conversion_by_state", "conversion", ["organization_id", "state", "occurred_at", "id"], unique=False
    )
    op.create_index("conversion_newest_first", "conversion", ["organization_id", "occurred_at", "id"], unique=False)
    op.create_index(
        "conversion_of_affiliate", "conversion", ["organization_id", "affiliate_id", "occurred_at", "id"], unique=False
    )
    op.create_index("conversion_of_code", "conversion", ["organization_id", "code", "occurred_at", "id"], unique=False)
    op.create_index(
        "conversion_of_program", "conversion", ["organization_id", "program_id", "occurred_at", "id"], unique=False
    )


def _make_ledger_entry() -> None:
    op.create_table(
        "ledger_entry",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("affiliate_id", sa.String(), nullable=False),
        sa.Column("conversion_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("cause_id", sa.String(), nullable=False),
        sa.Column("cause_state", sa.String(), nullable=False),
        sa.Column("cause_amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("available_at", UtcDateTime(), nullable=False),
        sa.Column("sold_at", UtcDateTime(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["affiliate_id"],
            ["affiliate.id"],
        ),
        sa.ForeignKeyConstraint(
            ["conversion_id"],
            ["conversion.id"],
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("conversion_id", "cause", "cause_id", "cause_state"),
    )
    op.create_index(
        "ledger_balance",
        "ledger_entry",
        ["organization_id", "affiliate_id", "currency", "available_at", "sold_at", "kind", "amount_minor"],
        unique=False,
    )


def downgrade() -> None:
    for table in [
        "ledger_entry",
        "conversion",
        "binding",
        "lead",
        "affiliate_link",
        "affiliate_code",
        "campaign_coupon",
        "affiliate",
        "sale_payment",
        "sale",
        "reversal",
        "program",
        "outbound_call",
        "idempotency_record",
        "audit_line",
        "audit_head",
        "api_token",
        "poll_cursor",
        "organization",
        "inbox_event",
        "deployment",
    ]:
        op.drop_table(table)
