"""Every case is whole: what it delivers can be looked up, and looks as Stripe documents it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.cases.api import PATHS, CaseApi
from tests.cases.case import HERE, Case, folders
from tests.contract.document import stripe_document

JsonObject = dict[str, Any]
ALL = list(folders())
OWN = [folder for folder in ALL if folder.parent.name == "own"]


def _name(folder: Path) -> str:
    return f"{folder.parent.name}-{folder.name}"


case_folders = pytest.mark.parametrize("folder", ALL, ids=_name)
own_folders = pytest.mark.parametrize("folder", OWN, ids=_name)


@cache
def keys_in_samples() -> dict[str, set[str]]:
    """The fields that each kind of object has in the samples."""
    found: dict[str, set[str]] = {}
    for folder in (HERE / "samples").iterdir():
        for kind, rows in Case.load(folder).api_state.items():
            for row in rows:
                found.setdefault(kind, set()).update(row)
    return found


def typed_keys(kind: str) -> set[str]:
    """The fields that the installed stripe package knows of a kind that the description leaves out."""
    return set({"credit_note": stripe.CreditNote}[kind].__annotations__)


@case_folders
def test_every_file_of_a_case_is_used(folder: Path) -> None:
    case = Case.load(folder)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*.json")}
    rows = json.loads((folder / "deliveries.json").read_text(encoding="utf-8"))
    delivered = {row["file"] for row in rows}
    assert files - delivered == {"case.json", "deliveries.json", "api_state.json", "expected.json"}
    assert [row["n"] for row in rows] == list(range(1, len(rows) + 1))
    assert [(row["event"], row["type"]) for row in rows] == [(d.event["id"], d.event["type"]) for d in case.deliveries]


@case_folders
def test_every_delivered_event_can_be_looked_up_with_its_object(folder: Path) -> None:
    case = Case.load(folder)
    api = CaseApi(case)
    for delivery in case.deliveries:
        api.delivering(delivery.n)
        event = delivery.event
        if event["livemode"]:
            continue
        about = event["data"]["object"]
        assert api.answer("GET", f"/v1/events/{event['id']}", "")[0] == 200
        if not event["type"].startswith("coupon.deleted"):
            status, body = api.answer("GET", f"/v1/{PATHS[about['object']]}/{about['id']}", "")
            assert (status, body["id"]) == (200, about["id"]), f"delivery {delivery.n}"


@case_folders
def test_every_id_in_the_seeds_and_the_expectations_is_in_stripe(folder: Path) -> None:
    case = Case.load(folder)
    ids = {row["id"] for rows in case.api_state.values() for row in rows}
    affiliates = {each.id for each in case.seeds.affiliates}
    expected = case.expected
    assert {code.promotion_code for code in case.seeds.codes} <= ids
    assert {code.affiliate for code in case.seeds.codes} <= affiliates
    assert {row["source_id"] for row in (*expected.conversions, *expected.clawbacks, *expected.flagged)} <= ids
    assert {row["cause_id"] for row in expected.clawbacks} <= ids
    assert {row["affiliate"] for row in (*expected.conversions, *expected.final)} <= affiliates
    assert {row["promotion_code"] for row in (*expected.conversions, *expected.codes)} <= {*ids, None}


@case_folders
def test_the_expected_steps_add_up_to_the_expected_sums(folder: Path) -> None:
    expected = Case.load(folder).expected
    affiliate_of = {row["source_id"]: (row["affiliate"], row["currency"]) for row in expected.conversions}
    sums: dict[tuple[str, str], int] = {}
    for row in expected.conversions:
        key = row["affiliate"], row["currency"]
        sums[key] = sums.get(key, 0) + row["commission"]
    for row in expected.clawbacks:
        sums[affiliate_of[row["source_id"]]] += row["amount"]
    assert sums == expected.final_net


@own_folders
def test_our_objects_have_the_fields_of_the_samples(folder: Path) -> None:
    for kind, rows in Case.load(folder).api_state.items():
        for row in rows:
            if kind in keys_in_samples():
                assert set(row) == keys_in_samples()[kind], f"{kind} {row['id']}"


@own_folders
def test_our_objects_and_events_are_as_stripe_documents_them(folder: Path) -> None:
    case, document = Case.load(folder), stripe_document()
    events = [each.event for each in case.deliveries]
    rows = [row for kind, objects in case.api_state.items() if kind != "event" for row in objects]
    rows += [event for event in events if event["api_version"] == case.seeds.api_version]
    faults: list[str] = []
    for row in rows:
        about = row["data"]["object"] if row["object"] == "event" else row
        if about["object"] in document.objects:
            faults += document.object(row)
        else:
            faults += [f"{about['object']}.{name}: not typed" for name in set(about) - typed_keys(about["object"])]
    assert not faults
