"""Alembic migrations: how the schema came to be what storage.tables says."""
