"""Jobs, work in flight, attempts, instances, idempotency keys."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first schema."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove everything, jobs included."""
    op.execute("DROP TABLE idempotency_keys, instances, attempts, live_jobs, jobs")
