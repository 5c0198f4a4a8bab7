"""Alembic's entry point: runs each revision in a transaction of its own, on the connection of core.migrations.upgrading."""

from typing import Any

import sqlalchemy
from alembic import context

from core.migrations.compatibility import compatibility_comment


def _note_compatibility(ctx: Any, step: Any, heads: Any, run_args: Any) -> None:  # noqa: ARG001  # Alembic's signature
    if step.is_upgrade:
        comment = compatibility_comment(step.up_revision.module)
        ctx.connection.execute(sqlalchemy.text(f"COMMENT ON TABLE alembic_version IS '{comment}'"))


context.configure(
    connection=context.config.attributes["connection"],
    transactional_ddl=True,
    transaction_per_migration=True,
    on_version_apply=_note_compatibility,
)
with context.begin_transaction():
    context.run_migrations()
