"""Organizations, tokens, signing secrets and the audit log, as the operator types them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rekomi_mcp.storage.engine import Store
from rekomi_mcp.storage.tables import ApiTokenRow
from tests.support.commands import Cli, a_token, everything_stored, tamper


def test_organizations_are_created_and_listed(cli: Cli) -> None:
    assert "There is no organization yet" in cli("org", "list").out
    assert "slug acme, plan Pro" in cli("org", "create", "Acme").out
    second = cli("org", "create", "Second Brand", "--slug", "second", "--plan", "Growth", "--status", "Trialing")
    assert "org link-stripe second" in second.out
    acme, other = cli("org", "list").out.splitlines()
    assert acme.split() == "acme Acme Pro (Active) Stripe: self".split()
    assert other.split() == "second Second Brand Growth (Trialing) Stripe: not linked".split()


def test_a_slug_that_is_taken_is_refused(brand: Cli) -> None:
    ran = brand("org", "create", "Acme")
    assert ran.status == 1
    assert ran.out == ""
    assert "--slug" in ran.err and "slug_already_taken" in ran.err


def test_a_plan_a_profile_and_a_trial_are_changed(brand: Cli) -> None:
    assert "Starter (Active)" in brand("org", "set-plan", "acme", "Starter").out
    assert (
        "Growth (Trialing)"
        in brand("org", "set-plan", "acme", "Growth", "--status", "Trialing", "--trial-days", "3").out
    )
    changed = brand(
        "org", "set", "acme", "--name", "Acme & Co", "--timezone", "Europe/Berlin", "--payout-grace-days", "7"
    )
    assert "Acme & Co, Growth (Trialing), hold 7 days, USD, Europe/Berlin" in changed.out


def test_a_time_zone_that_is_none_is_refused(brand: Cli) -> None:
    for zone in ("Mars/Olympus", "Europe", "../secrets", ""):
        ran = brand("org", "set", "acme", "--timezone", zone)
        assert ran.status == 1, zone
        assert "time zone" in ran.err


def test_a_stripe_account_belongs_to_one_organization(brand: Cli) -> None:
    brand("org", "create", "Second")
    assert "Stripe: acct_12345678" in brand("org", "link-stripe", "second", "acct_12345678").out
    taken = brand("org", "link-stripe", "second", "self")
    assert taken.status == 1
    assert "belongs to acme" in taken.err
    assert "Stripe: not linked" in brand("org", "link-stripe", "acme", "none").out
    assert "Stripe: self" in brand("org", "link-stripe", "second", "self").out
    none = brand("org", "link-stripe", "second", "12345678")
    assert none.status == 1
    assert "must be an account's id (acct_…), self or none" in none.err


@pytest.mark.parametrize(
    "argv",
    [
        ["org", "set-plan", "nobody", "Pro"],
        ["org", "set", "nobody", "--name", "X"],
        ["org", "link-stripe", "nobody", "none"],
        ["org", "verify-audit", "nobody"],
        ["token", "create", "mcp", "--organization", "nobody"],
        ["token", "list", "--organization", "nobody"],
        ["token", "revoke", "nothing"],
    ],
    ids=" ".join,
)
def test_an_organization_or_token_that_does_not_exist_is_refused(brand: Cli, argv: list[str]) -> None:
    ran = brand(*argv)
    assert ran.status == 1
    assert ran.out == ""
    assert "rekomi-mcp: " in ran.err and "not_found" in ran.err


@pytest.mark.parametrize(("kind", "prefix"), [("mcp", "rk_mcp_"), ("live", "rk_live_")])
def test_a_token_is_printed_once_and_kept_nowhere(brand: Cli, database: Path, kind: str, prefix: str) -> None:
    secret, token_id = a_token(brand, kind, "--name", "my assistant")
    assert secret.startswith(prefix)
    random_part = secret.removeprefix(prefix)
    listed = brand("token", "list").out
    assert token_id in listed and "my assistant" in listed and f"{prefix}{random_part[:4]}…" in listed
    assert random_part[:8] not in listed
    assert random_part[:8] not in everything_stored(database)


def test_a_signing_secret_is_printed_once_and_ends_when_it_is_revoked(brand: Cli, database: Path) -> None:
    made = brand("secret", "create", "--name", "web shop")
    assert made.status == 0, made.err
    secret, described = made.out.splitlines()
    found = re.search(r"id (\S+) revokes it", described)
    assert secret.startswith("rks_") and found is not None
    listed = brand("secret", "list").out
    assert found[1] in listed and "web shop" in listed and f"{secret[:8]}…" in listed
    assert secret not in listed + everything_stored(database)
    revoked = brand("secret", "revoke", found[1])
    assert revoked.out.startswith("Revoked rks_")
    assert "revoked" in brand("secret", "list").out
    assert brand("secret", "revoke", found[1]).status == 1
    assert brand("secret", "list", "--organization", "nobody").status == 1


WITHOUT_NAME = [["token", "create", "mcp"], ["token", "list"], ["secret", "create"], ["secret", "list"]]


@pytest.mark.parametrize("argv", WITHOUT_NAME, ids=" ".join)
def test_of_several_organizations_the_option_or_the_setting_names_one(
    brand: Cli, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    brand("org", "create", "Second")
    refused = brand(*argv)
    assert (refused.status, refused.out) == (1, "")
    assert "There are 2 organizations. Name one with --organization or REKOMI_ORGANIZATION" in refused.err
    assert brand(*argv, "--organization", "second").status == 0
    monkeypatch.setenv("REKOMI_ORGANIZATION", "second")
    assert brand(*argv).status == 0
    assert brand(argv[0], "list", "--organization", "acme").out == ""
    assert len(brand(argv[0], "list").out.splitlines()) == (2 if argv[1] == "create" else 0)


@pytest.mark.parametrize("argv", WITHOUT_NAME, ids=" ".join)
def test_without_an_organization_the_next_step_is_to_make_one(cli: Cli, argv: list[str]) -> None:
    ran = cli(*argv)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("rekomi-mcp: There is no organization yet. Run `rekomi-mcp init`.")


def test_a_token_is_as_narrow_as_it_was_asked_for(brand: Cli) -> None:
    a_token(brand, "mcp", "--read-only", "--role", "Viewer", "--expires-in-days", "7")
    [row] = brand("token", "list").out.splitlines()
    assert row.split()[2:5] == ["read", "Viewer", "expires"]
    assert "never" not in row
    assert "read_write as Owner. " in brand("token", "create", "live").out


def test_a_revoked_token_stays_revoked(brand: Cli, database: Path) -> None:
    secret, token_id = a_token(brand, "mcp")
    revoked = brand("token", "revoke", token_id)
    assert revoked.status == 0
    assert secret not in revoked.out
    assert "revoked" in brand("token", "list").out
    again = brand("token", "revoke", token_id)
    assert again.status == 1
    assert "status_conflict" in again.err
    store = Store(f"sqlite:///{database}")
    with store.reading() as session:
        assert session.get_one(ApiTokenRow, token_id).revoked_at is not None
    store.close()


def test_an_eleventh_assistant_is_refused_until_one_leaves(brand: Cli) -> None:
    ids = [a_token(brand, "mcp")[1] for _ in range(10)]
    refused = brand("token", "create", "mcp")
    assert refused.status == 1
    assert "token_limit_reached" in refused.err
    brand("token", "revoke", ids[0])
    assert brand("token", "create", "mcp").status == 0


def test_with_several_organizations_one_must_be_named(brand: Cli) -> None:
    brand("org", "create", "Second")
    for command in (["token", "create", "mcp"], ["token", "list"]):
        ran = brand(*command)
        assert ran.status == 1
        assert "--organization" in ran.err
    assert brand("token", "create", "mcp", "--organization", "second").status == 0
    assert brand("call", "get_organization").status == 1
    assert brand("call", "get_organization", "--organization", "second").answer["slug"] == "second"


def test_verify_audit_recomputes_every_chain_and_finds_what_was_forged(brand: Cli, database: Path) -> None:
    brand("org", "create", "Second")
    whole = brand("org", "verify-audit")
    assert (whole.status, whole.out) == (0, "acme: 1 lines, every hash holds\nsecond: 1 lines, every hash holds\n")
    tamper(database)
    broken = brand("org", "verify-audit")
    assert broken.status == 1
    assert broken.out.splitlines() == ["acme: 0 lines, BROKEN at line 1", "second: 1 lines, every hash holds"]
    assert brand("org", "verify-audit", "second").status == 0
    assert brand("org", "verify-audit", "acme").status == 1
