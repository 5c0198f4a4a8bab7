"""A job's priority outlives its row in live_jobs."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column, with what the unfinished jobs have."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove it."""
    op.execute("ALTER TABLE jobs DROP COLUMN priority")
