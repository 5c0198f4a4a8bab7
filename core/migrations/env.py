"""Alembic's entry point: runs the revisions on the connection that core.migrations.__main__ holds under its lock."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
