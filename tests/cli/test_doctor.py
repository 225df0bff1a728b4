"""`doctor` on Stripe's key and accounts and on the key that seals signing secrets: what is wrong, and what to do next."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rekomi_mcp.domain.errors import StripeMisconfigured
from rekomi_mcp.gateways.stripe import StripeAccount
from tests.support.commands import Cli, Ran
from tests.support.databases import create_database

KEY = "a key of thirty-two characters!!"


def line(ran: Ran) -> str:
    """What is said of signing secrets."""
    [found] = [text for text in ran.out.splitlines() if " Signing secrets: " in text]
    return found


def make(cli: Cli) -> tuple[str, str]:
    """A new signing secret's text and id."""
    made = cli("secret", "create")
    assert made.status == 0, made.err
    found = re.search(r"id (\S+) revokes it", made.out)
    assert found is not None
    return made.out.splitlines()[0], found[1]


def test_who_signs_nothing_needs_no_key_and_looking_makes_none(brand: Cli, data_dir: Path) -> None:
    ran = brand("doctor")
    assert ran.status == 0
    assert line(ran) == f"ok       Signing secrets: none yet; the key is made with the first, in {data_dir}/secret.key"
    assert not (data_dir / "secret.key").exists()


def test_a_key_in_a_setting_is_named_and_never_shown(brand: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REKOMI_SECRET_KEY", KEY)
    assert line(brand("doctor")) == "ok       Signing secrets: none yet; the key is in REKOMI_SECRET_KEY"
    secret, _ = make(brand)
    ran = brand("doctor")
    assert ran.status == 0
    assert line(ran) == "ok       Signing secrets: 1, and each opens with the key in REKOMI_SECRET_KEY"
    assert KEY not in ran.out + ran.err
    assert secret not in ran.out + ran.err


def test_secrets_without_their_key_are_named_until_it_is_back_or_they_are_revoked(brand: Cli, data_dir: Path) -> None:
    _, secret_id = make(brand)
    file = data_dir / "secret.key"
    assert line(brand("doctor")) == f"ok       Signing secrets: 1, and each opens with the key in {file}"

    kept = file.read_text()
    file.unlink()
    gone = brand("doctor")
    assert gone.status == 1
    assert f"{secret_id} of acme cannot be opened, because there is no key in {file}" in line(gone)
    assert gone.out.splitlines()[-1].startswith(f"Next step: {secret_id} of acme")
    assert "Put their key back, or revoke them" in line(gone)

    file.write_text(kept)
    assert brand("doctor").status == 0
    file.unlink()
    assert brand("secret", "revoke", secret_id).status == 0
    assert brand("doctor").status == 0


def test_secrets_that_another_key_sealed_are_named(brand: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REKOMI_SECRET_KEY", KEY)
    _, lost = make(brand)
    monkeypatch.setenv("REKOMI_SECRET_KEY", KEY.upper())
    _, opens = make(brand)
    ran = brand("doctor")
    assert ran.status == 1
    assert f"{lost} of acme cannot be opened, because the key in REKOMI_SECRET_KEY is another than theirs" in line(ran)
    assert opens not in ran.out


@pytest.mark.parametrize("has_secret", [False, True], ids=["without-secrets", "with-a-secret"])
@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["a-folder", "no-text"])
def test_a_key_file_that_cannot_be_read_is_said_to_be(
    brand: Cli, data_dir: Path, content: bytes | None, has_secret: bool
) -> None:
    file = data_dir / "secret.key"
    if has_secret:
        make(brand)
        file.unlink()
    file.mkdir() if content is None else file.write_bytes(content)
    ran = brand("doctor")
    assert ran.status == 1
    assert line(ran).startswith(f"MISSING  Signing secrets: the key in {file} cannot be read. Let the user")


def test_an_empty_key_file_is_to_be_deleted(brand: Cli, data_dir: Path) -> None:
    (data_dir / "secret.key").touch()
    ran = brand("doctor")
    assert ran.status == 1
    assert "secret.key is empty. Delete it" in line(ran)


def test_a_store_that_is_no_file_needs_the_setting_first(
    cli: Cli, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REKOMI_DATABASE_URL", create_database(postgres))
    assert cli("init").status == 0
    ran = cli("doctor")
    assert ran.status == 0
    assert "none yet; set REKOMI_SECRET_KEY before the first is made" in line(ran)


def test_an_account_that_stripe_does_not_accept_is_named_until_another_is_linked(brand: Cli) -> None:
    assert "org link-stripe second self" in brand("org", "create", "Second").out
    assert "acct_…" not in brand("org", "create", "Third").out, "the sandbox shows no accounts to choose from"
    brand("org", "link-stripe", "second", "acct_12345678")
    ran = brand("doctor")
    assert ran.status == 1
    assert "MISSING  Stripe: Stripe does not let this server's key act for the account of second (acct_12345" in ran.out
    assert "rekomi-mcp org link-stripe" in ran.out.splitlines()[-1]
    assert "`rekomi-mcp doctor` says for which" in brand("sync").err
    brand("org", "link-stripe", "second", "none")
    assert brand("doctor").status == 0


def test_a_key_that_stripe_does_not_accept_is_to_be_set_anew(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(account: StripeAccount) -> None:
        raise StripeMisconfigured("Run `rekomi-mcp doctor`.")

    monkeypatch.setattr(StripeAccount, "check", refuse)
    monkeypatch.setenv("REKOMI_STRIPE_SECRET_KEY", "sk_test_not_used")
    cli("init")
    assert "link-stripe second acct_…" in cli("org", "create", "Second").out
    next_step = cli("doctor").out.splitlines()[-1]
    assert next_step.startswith("Next step: Stripe does not accept the key. Set REKOMI_STRIPE_SECRET_KEY")
    assert "doctor" not in next_step
