"""Alembic's entry: run the migrations on the connection that migrate.py hands over."""

from alembic import context
from sqlmodel import SQLModel

from rekomi_mcp.storage import tables

_ = tables  # imported so that the tables join SQLModel.metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
