"""Bring a database to the schema this version needs, under a lock, so that several processes may start at once."""

from sqlalchemy import Connection, inspect, text

from rekomi_mcp.storage.engine import Store

HEAD = "0010"
"""The newest revision in migrations/versions; a test compares. Known here so that a start need not load Alembic."""
_LOCK = 7_355_608
"""Any number, the same in every process."""


def migrate(store: Store) -> bool:
    """Upgrade to HEAD in one transaction; False when there was nothing to do."""
    with store.engine.connect() as connection:
        if revision(connection) == HEAD:
            return False
    with store.engine.begin() as connection:
        if not store.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        if revision(connection) == HEAD:
            return False
        _upgrade(connection)
    return True


def revision(connection: Connection) -> str | None:
    """The revision a database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "rekomi_mcp.storage:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
