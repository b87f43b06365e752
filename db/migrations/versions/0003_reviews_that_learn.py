"""Reasons of marks, what was suggested with which hint, and how a clip's preview looks, for an order that learns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batch_clips", sa.Column("reason", sa.String(), nullable=True))
    op.add_column("batch_clips", sa.Column("suggestion", sa.Double(), nullable=True))
    op.add_column("batch_clips", sa.Column("hint", sa.String(), nullable=True))
    op.add_column("batch_clips", sa.Column("overlap", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("previews", sa.Column("appearance", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    raise RuntimeError("a catalogue is never taken back to an older version; use a copy made before")
