"""Prepared questions: the driver answers them as SQLAlchemy would, and what goes wrong is told and mended as by it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, MetaData, String, Table, bindparam, func
from sqlalchemy import select as select_columns
from sqlalchemy.exc import DBAPIError, OperationalError, ResourceClosedError, SQLAlchemyError
from sqlmodel import col, select

from rekomi_mcp.storage import explanations, identity, tokens
from rekomi_mcp.storage.engine import Glance, Reader, Store
from rekomi_mcp.storage.prepared import Prepared
from rekomi_mcp.storage.tables import PollCursorRow, SalePaymentRow, SaleRow
from tests.storage.support import at
from tests.storage.test_engine import add_cursor, answers, drop_every_connection, left_open
from tests.support.world import World

ACCOUNTS: Prepared[tuple[str, Any]] = Prepared(
    select_columns(col(PollCursorRow.account), col(PollCursorRow.read_until)).where(
        col(PollCursorRow.account) == bindparam("wanted")
    ),
    tuple,
)
NOWHERE = Table("nowhere", MetaData(), Column("account", String))
Kind = Callable[[Store], AbstractContextManager[Reader]]
kinds = pytest.mark.parametrize("kind", [Store.reading, Store.glancing, Store.writing])


def everything_prepared(world: World) -> list[tuple[Prepared[Any], dict[str, Any]]]:
    """Each question of the package, and values by which it finds something in the world."""
    acme = world.acme

    def of_acme(wanted: str) -> dict[str, str]:
        return {"organization_id": acme.id, "wanted": wanted}

    return [
        (identity._TOKEN, {"sha256": tokens.digest(acme.mcp_token), "kind": "MCP"}),  # pyright: ignore[reportPrivateUsage]
        (explanations._BY_CONVERSION, of_acme(acme.conversion)),  # pyright: ignore[reportPrivateUsage]
        (explanations._BY_SOURCE_ID, of_acme(acme.source)),  # pyright: ignore[reportPrivateUsage]
        (explanations._BY_PAYMENT, of_acme("pi_1")),  # pyright: ignore[reportPrivateUsage]
        (explanations._OF_EMAIL, of_acme("lee@example.com")),  # pyright: ignore[reportPrivateUsage]
        (explanations._SIGNUPS, of_acme("lee@example.com")),  # pyright: ignore[reportPrivateUsage]
        (explanations._CODES, of_acme("SARAH20")),  # pyright: ignore[reportPrivateUsage]
        (explanations._of_codes(1), of_acme("SARAH20") | {"wanted_0": "promo_acme_sarah"}),  # pyright: ignore[reportPrivateUsage]
        (explanations._words(2), {"organization_id": acme.id, "wanted_0": acme.affiliate, "wanted_1": acme.code}),  # pyright: ignore[reportPrivateUsage]
        (explanations._of_promotion_codes(1), {"organization_id": acme.id, "wanted_0": "promo_acme_sarah"}),  # pyright: ignore[reportPrivateUsage]
    ]


def test_the_driver_answers_what_sqlalchemy_would(store: Store, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.writing() as session:
        [sold] = session.exec(select(SaleRow).where(SaleRow.source_id == world.acme.source))
        sold.email_key = "lee@example.com"
        session.add(
            SalePaymentRow(
                organization_id=sold.organization_id, payment_id="pi_1", source=sold.source, source_id=sold.source_id
            )
        )
    questions = everything_prepared(world)
    modules = (identity, explanations)
    named = [(module, name) for module in modules for name, each in vars(module).items() if isinstance(each, Prepared)]
    assert {id(getattr(module, name)) for module, name in named} <= {id(question) for question, _ in questions}
    with store.glancing() as glance:
        by_the_driver = [question.rows(glance, values) for question, values in questions]
    assert all(by_the_driver)

    with store.reading() as session:
        by_sqlalchemy = [
            [question._row(row) for row in session.connection().execute(question._query, values)]  # pyright: ignore[reportPrivateUsage]
            for question, values in questions
        ]
    assert by_the_driver == by_sqlalchemy


@kinds
def test_it_is_answered_within_the_transaction_it_is_asked_in(store: Store, kind: Kind) -> None:
    add_cursor(store, "acct_1")
    with kind(store) as reader:
        assert ACCOUNTS.rows(reader, {"wanted": "acct_1"}) == [("acct_1", at(0))]
        assert ACCOUNTS.first(reader, {"wanted": "acct_2"}) is None
    assert left_open(store) == []


def test_a_reading_session_sees_one_moment_of_it(store: Store) -> None:
    with store.reading() as session, store.glancing() as glance:
        for reader in (session, glance):
            assert ACCOUNTS.first(reader, {"wanted": "acct_1"}) is None
        add_cursor(store, "acct_1")
        assert ACCOUNTS.first(session, {"wanted": "acct_1"}) is None
        assert ACCOUNTS.first(glance, {"wanted": "acct_1"}) is not None


def test_a_writing_session_sees_what_it_has_written(store: Store) -> None:
    with store.writing() as session:
        session.add(PollCursorRow(account="acct_1", read_until=at(0)))
        session.flush()
        assert ACCOUNTS.first(session, {"wanted": "acct_1"}) == ("acct_1", at(0))


def test_a_glance_that_has_ended_answers_nothing(store: Store) -> None:
    with store.glancing() as glance:
        ACCOUNTS.rows(glance, {"wanted": "acct_1"})
    with pytest.raises(ResourceClosedError):
        ACCOUNTS.rows(glance, {"wanted": "acct_1"})


@kinds
def test_an_error_of_the_database_is_told_without_what_was_asked(store: Store, kind: Kind) -> None:
    question = Prepared(select_columns(NOWHERE.c.account).where(NOWHERE.c.account == bindparam("wanted")), tuple)
    with pytest.raises(SQLAlchemyError) as raised, kind(store) as reader:
        question.rows(reader, {"wanted": "kim@example.com"})
    assert isinstance(raised.value, DBAPIError)
    assert "nowhere" in str(raised.value.orig)
    assert "kim@example.com" not in str(raised.value)
    assert left_open(store) == []


@kinds
def test_what_the_database_gave_up_is_not_asked_again(store: Store, kind: Kind) -> None:
    if store.is_sqlite:
        pytest.skip("SQLite gives nothing up by itself")
    asleep = Prepared(select_columns(func.pg_sleep(5)), tuple)
    begun = time.monotonic()
    with pytest.raises(OperationalError) as raised, kind(store) as reader:
        fetch = reader.driver().cursor() if isinstance(reader, Glance) else reader.connection().connection.cursor()
        fetch.execute("SET statement_timeout = 500")
        asleep.rows(reader, {})
    assert isinstance(raised.value.orig, psycopg.errors.QueryCanceled)
    assert time.monotonic() - begun < 0.9


def test_a_server_that_is_not_there_is_told_as_by_sqlalchemy() -> None:
    store = Store("postgresql://nobody:word@127.0.0.1:9/nothing")
    for kind in (Store.glancing, Store.reading):
        with pytest.raises(OperationalError), kind(store):
            pytest.fail("nobody listens there")
    store.close()


def test_a_list_of_values_cannot_be_prepared(store: Store) -> None:
    accounts = select_columns(col(PollCursorRow.account)).where(col(PollCursorRow.account).in_(["acct_1", "acct_2"]))
    with store.glancing() as glance, pytest.raises(AssertionError, match="list of values"):
        Prepared(accounts, tuple).rows(glance, {})


def test_a_value_that_the_driver_does_not_take_as_it_is_cannot_be_prepared(store: Store) -> None:
    read = select_columns(col(PollCursorRow.account)).where(col(PollCursorRow.read_until) == bindparam("wanted"))
    with store.glancing() as glance, pytest.raises(AssertionError, match="as it is"):
        Prepared(read, tuple).rows(glance, {"wanted": at(0)})


def test_of_glances_one_fails_when_postgresql_drops_every_connection(store: Store) -> None:
    if store.is_sqlite:
        pytest.skip("SQLite has no server")
    drop_every_connection(store)

    def ask() -> object:
        with store.glancing() as glance:
            return ACCOUNTS.first(glance, {"wanted": "acct_1"})

    assert answers(ask) == [None] * 11
    assert left_open(store) == []
