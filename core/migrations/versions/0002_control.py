"""Cancel requests, expiry, and a table to list finished jobs by."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add what control needs."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove it; cancel requests and expiries are forgotten."""
    op.execute("DROP TRIGGER list_finished_job ON jobs")
    op.execute("DROP TRIGGER finished_job_never_changes ON jobs")
    op.execute("DROP FUNCTION list_finished_job, refuse_change")
    op.execute("DROP INDEX jobs_task")
    op.execute("DROP TABLE finished_jobs")
    op.execute("ALTER TABLE live_jobs DROP COLUMN cancel_requested, DROP COLUMN expires_at")
