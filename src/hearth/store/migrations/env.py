"""How alembic runs revisions: on the connection, and in the transaction, that `hearth.store.schema` gives it."""

from alembic import context

from hearth.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
)
with context.begin_transaction():
    context.run_migrations()
