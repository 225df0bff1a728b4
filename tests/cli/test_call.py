"""`operations` and `call`: what scripts type, and what is answered as JSON."""

from __future__ import annotations

import json

import pytest

from rekomi_mcp.tools import CATALOGUE
from tests.support.commands import Cli


def test_operations_lists_every_exposed_operation_with_its_gates(cli: Cli) -> None:
    header, *rows = cli("operations").out.splitlines()
    assert header.startswith("OPERATION")
    assert [row.split()[0] for row in rows] == [operation.name for operation in CATALOGUE.exposed()]
    for operation, row in zip(CATALOGUE.exposed(), rows, strict=True):
        assert operation.route is not None
        assert {operation.route.path, operation.scope.value, operation.role.name} <= set(row.split())
        assert row.split()[-1] == (operation.audit or "-")


def test_operations_prints_the_readmes_table(cli: Cli) -> None:
    _, _, *rows = cli("operations", "--markdown").out.splitlines()
    assert [row.split("`")[1] for row in rows] == [operation.name for operation in CATALOGUE.exposed()]
    assert {row.count("|") for row in rows} == {7}


def test_call_prints_the_answer_as_json(brand: Cli) -> None:
    terms = {"name": "Créators", "defaultCommissionType": "Percentage", "defaultCommissionValue": 20}
    made = brand("call", "create_program", json.dumps(terms))
    assert made.status == 0
    assert made.answer["name"] == "Créators"
    assert "Créators" in made.out
    listed = brand("call", "list_programs", '{"take": 1}').answer
    assert [item["id"] for item in listed["items"]] == [made.answer["id"]]


def test_call_with_a_key_twice_does_it_once(brand: Cli) -> None:
    argv = ["call", "create_affiliate", '{"email": "kim@example.com"}', "--idempotency-key", "friday"]
    brand("call", "create_program", '{"name":"P","defaultCommissionType":"Fixed","defaultCommissionValue":"5"}')
    first, second = brand(*argv), brand(*argv)
    assert (first.status, second.status) == (0, 0)
    assert first.answer == second.answer
    assert len(brand("call", "list_affiliates").answer["items"]) == 1


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["get_program", '{"programId": "nothing"}'], "not_found"),
        (["list_programs", '{"tkae": 5}'], "validation_failed"),
        (["list_programs", '{"take": "many"}'], "validation_failed"),
        (["create_program", '{"name": "P"}'], "validation_failed"),
        (["list_programs", "{}", "--organization", "nobody"], "unauthorized"),
    ],
    ids=["unknown id", "misspelt argument", "wrong type", "missing argument", "unknown organization"],
)
def test_call_prints_a_refusal_as_json_and_fails(brand: Cli, argv: list[str], error: str) -> None:
    ran = brand("call", *argv)
    assert ran.status == 1
    assert ran.answer["error"] == error
    assert ran.answer["message"]


def test_of_several_organizations_call_takes_the_option_or_the_setting(
    brand: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    brand("org", "create", "Second")
    message = brand("call", "whoami").answer["message"]
    assert "REKOMI_ORGANIZATION" in message and "--organization" in message
    assert brand("call", "whoami", "--organization", "second").status == 0
    monkeypatch.setenv("REKOMI_ORGANIZATION", "second")
    assert brand("call", "whoami").status == 0


@pytest.mark.parametrize("value", ["1E+999999", "-1E+999999", "1E-999999"])
@pytest.mark.parametrize("kind", ["Percentage", "Fixed"])
def test_a_rate_beyond_all_reason_is_refused(brand: Cli, kind: str, value: str) -> None:
    terms = {"name": "P", "defaultCommissionType": kind, "defaultCommissionValue": value}
    ran = brand("call", "create_program", json.dumps(terms))
    assert ran.status == 1
    assert (ran.answer["error"], ran.answer["field"]) == ("validation_failed", "defaultCommissionValue")


@pytest.mark.parametrize("given", ["{", "take=5", "[1]", '"text"', "null", "5"])
def test_call_refuses_what_is_not_a_json_object(brand: Cli, given: str) -> None:
    ran = brand("call", "list_programs", given)
    assert (ran.status, ran.out) == (1, "")
    assert "JSON" in ran.err and "validation_failed" in ran.err


@pytest.mark.parametrize("name", ["nonsense", "create_token", "ingest_stripe_events"])
def test_call_runs_only_what_is_exposed(brand: Cli, name: str) -> None:
    ran = brand("call", name)
    assert (ran.status, ran.out) == (1, "")
    assert "rekomi-mcp operations" in ran.err and "not_found" in ran.err
