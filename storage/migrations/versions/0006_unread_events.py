"""Which of an account's events were never read, until the time they cover has been compared with Stripe."""

import sqlalchemy as sa
from alembic import op

from rekomi_mcp.storage.columns import UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for name in ("lost_since", "lost_until"):
        op.add_column("poll_cursor", sa.Column(name, UtcDateTime(), nullable=True))


def downgrade() -> None:
    for name in ("lost_until", "lost_since"):
        op.drop_column("poll_cursor", name)
