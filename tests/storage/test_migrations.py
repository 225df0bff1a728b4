"""Migrations: what they build is what the tables declare, on both databases, however many servers start at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, DateTime, MetaData, Table, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import SQLModel

from rekomi_mcp.storage import organizations
from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.migrate import HEAD, migrate, revision
from tests.storage.support import overlapping, together
from tests.support.databases import create_database

PARTIAL = "affiliate_code_live_text"
"""The unique index over live codes only."""
BOUND_BY_THEMSELVES = "binding_of_customer"
"""Over subscriptions that no sale bound."""


def config(connection: Connection | None = None) -> Config:
    found = Config()
    found.set_main_option("script_location", "rekomi_mcp.storage:migrations")
    found.attributes["connection"] = connection
    return found


def declared(store: Store) -> None:
    """Build the schema from the tables themselves, without a migration."""
    SQLModel.metadata.create_all(store.engine)


def schema(store: Store) -> dict[str, Any]:
    """Everything the database says about its tables, in a form that can be compared."""
    inspector = inspect(store.engine)

    def ordered(rows: list[Any]) -> list[Any]:
        return sorted(({**row} for row in rows), key=repr)

    return {
        table: {
            "columns": [
                (c["name"], repr(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(table)
            ],
            "primary key": inspector.get_pk_constraint(table)["constrained_columns"],
            "foreign keys": ordered(inspector.get_foreign_keys(table)),
            "unique": ordered(inspector.get_unique_constraints(table)),
            "checks": ordered(inspector.get_check_constraints(table)),
            "indexes": [indexed(index) for index in ordered(inspector.get_indexes(table))],
        }
        for table in sorted(inspector.get_table_names())
        if table != "alembic_version"
    }


def indexed(index: dict[str, Any]) -> tuple[str, list[str], bool, str]:
    """An index as (name, columns, unique, condition)."""
    options: dict[str, Any] = index.get("dialect_options", {})
    condition = next((str(value) for name, value in options.items() if name.endswith("_where")), "")
    return str(index["name"]), index["column_names"], bool(index["unique"]), condition


def test_an_empty_database_becomes_exactly_the_declared_schema(empty_store: Store) -> None:
    assert migrate(empty_store) is True
    with empty_store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []
        assert revision(connection) == HEAD


def test_migrated_and_declared_databases_are_the_same_to_the_last_index(
    empty_store: Store, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Store(
        f"sqlite:///{tmp_path_factory.mktemp('declared') / 'declared.db'}"
        if empty_store.is_sqlite
        else create_database(request.getfixturevalue("postgres"))
    )
    migrate(empty_store)
    declared(other)
    migrated, wanted = schema(empty_store), schema(other)
    other.close()
    assert migrated.keys() == wanted.keys()
    for table in wanted:
        assert migrated[table] == wanted[table], table


def test_every_declared_index_is_there_with_its_columns_and_its_condition(empty_store: Store) -> None:
    migrate(empty_store)
    found = {index[0]: index for table in schema(empty_store).values() for index in table["indexes"]}
    for table in SQLModel.metadata.tables.values():
        for index in table.indexes:
            assert found[str(index.name)][1:3] == ([c.name for c in index.columns], index.unique), index.name
    partial = found[PARTIAL]
    assert partial[2] is True
    assert {"Pending", "Active", "status"} <= set(re.findall(r"\w+", partial[3]))
    assert "customer_id" in found[BOUND_BY_THEMSELVES][3]
    assert {name for name, index in found.items() if index[3]} == {PARTIAL, BOUND_BY_THEMSELVES}


def test_the_head_known_at_the_start_is_alembics_only_head() -> None:
    assert ScriptDirectory.from_config(config()).get_heads() == [HEAD]


def test_migrating_again_does_nothing(empty_store: Store) -> None:
    assert migrate(empty_store) is True
    before = schema(empty_store)
    assert migrate(empty_store) is False
    assert schema(empty_store) == before


def test_going_down_to_the_base_leaves_no_table_and_up_again_brings_all_back(empty_store: Store) -> None:
    migrate(empty_store)
    before = schema(empty_store)
    with empty_store.engine.begin() as connection:
        command.downgrade(config(connection), "base")
    assert schema(empty_store) == {}
    assert migrate(empty_store) is True
    assert schema(empty_store) == before


def test_a_migration_that_fails_leaves_nothing_behind(empty_store: Store) -> None:
    in_the_way = "ledger_entry"
    with empty_store.engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {in_the_way} (x integer)"))
    with pytest.raises(SQLAlchemyError):
        migrate(empty_store)
    assert inspect(empty_store.engine).get_table_names() == [in_the_way]
    with empty_store.engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {in_the_way}"))
    assert migrate(empty_store) is True


def test_servers_that_start_together_on_an_empty_database_all_succeed(empty_database: str) -> None:
    def start(_: int) -> bool:
        store = Store(empty_database)
        try:
            return migrate(store)
        finally:
            store.close()

    assert sorted(together(6, start)) == [False] * 5 + [True]


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_processes_that_start_together_on_an_empty_file_all_succeed(empty_database: str) -> None:
    code = "import sys; from rekomi_mcp.storage import engine, migrate; migrate.migrate(engine.Store(sys.argv[1]))"
    started = [
        subprocess.Popen([sys.executable, "-c", code, empty_database], env=dict(os.environ), stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    failures = [process.communicate(timeout=60)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0] * 3, failures


def test_servers_that_stamp_an_empty_database_together_all_succeed(empty_store: Store) -> None:
    migrate(empty_store)
    held = overlapping(
        empty_store,
        lambda session: organizations.claim_mode(session, "test"),
        lambda session: organizations.claim_mode(session, "live"),
    )
    assert held == "test"


def put(connection: Connection, table: str, **values: object) -> None:
    """Insert a row as the database itself describes it; what must not be empty and is not given gets something."""
    found = Table(table, MetaData(), autoload_with=connection)
    anything: dict[str, object] = {"BIGINT": 1, "INTEGER": 1, "BOOLEAN": False, "JSON": {}}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    needed = {c.name: anything.get(str(c.type), "x") for c in found.columns if not c.nullable}
    needed |= {c.name: at for c in found.columns if isinstance(c.type, DateTime) and not c.nullable}
    connection.execute(found.insert(), needed | values)


def test_a_database_of_the_first_schema_keeps_what_it_holds(empty_store: Store) -> None:
    with empty_store.engine.begin() as connection:
        command.upgrade(config(connection), "0001")
        put(connection, "organization", id="brand")
        put(connection, "program", id="program", organization_id="brand")
        put(connection, "affiliate", id="sarah", organization_id="brand", program_id="program")
        put(connection, "affiliate_link", id="link", organization_id="brand", affiliate_id="sarah", slug="sarah")
        put(connection, "sale", id="sale", organization_id="brand", customer_email="Kim@Example.com")
        credited = {"organization_id": "brand", "sale_id": "sale", "program_id": "program", "affiliate_id": "sarah"}
        put(connection, "conversion", **credited, method="metadata_or_customer")
    assert migrate(empty_store) is True
    with empty_store.engine.connect() as connection:
        sale = connection.execute(text("SELECT email_key, revision FROM sale")).one()
        method = connection.execute(text("SELECT method, on_hold_minor FROM conversion")).one()
        slug = connection.execute(text("SELECT slug, link_id FROM link_slug")).one()
        own = connection.execute(text("SELECT allow_self_purchases FROM program")).scalar_one()
    assert (tuple(sale), tuple(method), tuple(slug), bool(own)) == (
        ("kim@example.com", 0),
        ("customer", 0),
        ("sarah", "link"),
        False,
    )


def rows(connection: Connection) -> dict[str, list[str]]:
    """Everything a database holds."""
    tables = inspect(connection).get_table_names()
    return {table: sorted(map(repr, connection.execute(text(f"SELECT * FROM {table}")).mappings())) for table in tables}


def test_the_last_schema_takes_a_filled_database_up_and_gives_it_back_unchanged(empty_store: Store) -> None:
    one = {"organization_id": "brand", "program_id": "program", "affiliate_id": "sarah"}
    with empty_store.engine.begin() as connection:
        command.upgrade(config(connection), "0002")
        put(connection, "organization", id="brand")
        put(connection, "program", id="program", organization_id="brand")
        put(connection, "affiliate", id="sarah", organization_id="brand", program_id="program")
        put(connection, "sale", id="sale", organization_id="brand")
        for source in ("Stripe", "Api"):
            put(connection, "lead", **one, id=source, source=source, email_key=source)
        put(connection, "poll_cursor", account="self")
        before = rows(connection)
    built = schema(empty_store)
    assert migrate(empty_store) is True
    with empty_store.engine.begin() as connection:
        signups = connection.execute(text("SELECT id, free_sale_at = created_at FROM lead ORDER BY id")).all()
        assert [tuple(row) for row in signups] == [("Api", None), ("Stripe", True)]
        put(connection, "past_terms", organization_id="brand", subject_id="program")
        put(connection, "subscription_start", organization_id="brand")
        lost = connection.execute(text("SELECT account, lost_since, lost_until FROM poll_cursor")).one()
        assert tuple(lost) == ("self", None, None)
        connection.execute(text("UPDATE poll_cursor SET lost_since = read_until, lost_until = read_until"))
        command.downgrade(config(connection), "0002")
        assert rows(connection) == before
    assert schema(empty_store) == built


def kinds(store: Store) -> dict[str, list[tuple[str, str, bool]]]:
    """Each table's columns as (name, kind of type, nullable), in words that both databases share."""
    inspector = inspect(store.engine)
    return {
        table: [
            (str(c["name"]), type(c["type"].as_generic()).__name__, bool(c["nullable"]))
            for c in inspector.get_columns(table)
        ]
        for table in inspector.get_table_names()
    }


def test_both_databases_have_the_same_columns(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    stores = [
        Store(create_database(postgres)),
        Store(f"sqlite:///{tmp_path_factory.mktemp('columns') / 'columns.db'}"),
    ]
    for store in stores:
        migrate(store)
    one, other = map(kinds, stores)
    for store in stores:
        store.close()
    assert one == other
    assert set(one) - {"alembic_version"} == set(SQLModel.metadata.tables)


def test_every_time_keeps_its_zone_on_postgresql(postgres: str) -> None:
    store = Store(create_database(postgres))
    migrate(store)
    inspector = inspect(store.engine)
    naive = [
        f"{table}.{column['name']}"
        for table in inspector.get_table_names()
        for column in inspector.get_columns(table)
        if getattr(column["type"], "timezone", None) is False
    ]
    store.close()
    assert naive == []


def test_a_payment_of_several_sales_is_an_invoices_again_before_the_last_schema(empty_store: Store) -> None:
    paid = {"organization_id": "brand", "payment_id": "pi"}
    with empty_store.engine.begin() as connection:
        command.upgrade(config(connection), "0003")
        put(connection, "organization", id="brand")
        put(connection, "organization", id="other", slug="other", stripe_account="acct_other")
        put(connection, "sale_payment", **paid, source="invoice", source_id="in_a")
        put(connection, "sale_payment", **paid | {"organization_id": "other"}, source="invoice", source_id="in_o")
        before = rows(connection)
    built = schema(empty_store)
    assert migrate(empty_store) is True
    with empty_store.engine.begin() as connection:
        kept = connection.execute(text("SELECT source_id, amount_minor FROM sale_payment ORDER BY source_id")).all()
        assert [tuple(row) for row in kept] == [("in_a", None), ("in_o", None)]
        put(connection, "sale_payment", **paid, source="checkout_session", source_id="cs")
        put(connection, "sale_payment", **paid, source="invoice", source_id="in_b", amount_minor=4000)
        command.downgrade(config(connection), "0003")
        assert rows(connection) == before
    assert schema(empty_store) == built


def test_coupons_may_take_off_more_and_know_which_of_them_ended_in_stripe(empty_store: Store) -> None:
    of_brand = {"organization_id": "brand", "program_id": "program"}
    with empty_store.engine.begin() as connection:
        command.upgrade(config(connection), "0005")
        if not empty_store.is_sqlite:  # as it was made before
            connection.execute(text("ALTER TABLE campaign_coupon ALTER discount_value TYPE INTEGER"))
        put(connection, "organization", id="brand")
        put(connection, "program", id="program", organization_id="brand")
        for coupon in ("archived", "deleted"):
            put(connection, "campaign_coupon", **of_brand, id=coupon, name=coupon, adopted=True)
        told = {"action": "campaign_coupon.deleted_in_stripe", "entity_id": "deleted"}
        put(connection, "audit_line", organization_id="brand", **told)
    assert migrate(empty_store) is True
    with empty_store.engine.begin() as connection:
        ended = connection.execute(text("SELECT id, ended_in_stripe FROM campaign_coupon ORDER BY id")).all()
        assert [(id_, bool(is_ended)) for id_, is_ended in ended] == [("archived", False), ("deleted", True)]
        connection.execute(text("UPDATE campaign_coupon SET discount_value = 999999999999 WHERE id = 'deleted'"))
        large = connection.execute(text("SELECT max(discount_value) FROM campaign_coupon")).scalar_one()
        assert large == 999999999999


def test_a_subscription_that_was_bound_by_itself_learns_of_its_sales_whose_it_is(empty_store: Store) -> None:
    of_tom = {"organization_id": "brand", "affiliate_id": "tom", "program_id": "program", "event_id": "evt"}
    with empty_store.engine.begin() as connection:
        command.upgrade(config(connection), "0008")
        put(connection, "organization", id="brand")
        put(connection, "program", id="program", organization_id="brand")
        put(connection, "affiliate", id="tom", organization_id="brand", program_id="program")
        for ref, origin in (
            ("sub_1", "subscription:sub_1@1:evt"),
            ("sub_2", "checkout:sub_2"),
            ("sub_3", "sale:invoice:in_3"),
        ):
            put(connection, "binding", **of_tom, kind="subscription", ref=ref, origin=origin)
        put(connection, "binding", **of_tom, kind="customer", ref="cus_1", origin="subscription:sub_1@1:evt")
        for number in (1, 3):
            sold = {"source_id": f"in_{number}", "subscription_id": f"sub_{number}", "customer_id": f"cus_{number}"}
            put(connection, "sale", organization_id="brand", id=str(number), source="invoice", **sold)
    assert migrate(empty_store) is True
    with empty_store.engine.begin() as connection:
        kept = connection.execute(text("SELECT ref, customer_id FROM binding ORDER BY ref")).all()
        assert [tuple(row) for row in kept] == [("cus_1", None), ("sub_1", "cus_1"), ("sub_2", None), ("sub_3", None)]
