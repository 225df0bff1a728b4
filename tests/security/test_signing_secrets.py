"""Signing secrets: shown once, sealed on the disk with a key that is its owner's alone, and the operator's to make."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from sqlmodel import select

from rekomi_mcp.app import App
from rekomi_mcp.domain.errors import NotFound, SecretKeyRequired, StatusConflict, TokenLimitReached
from rekomi_mcp.gateways.vault import KeyVault
from rekomi_mcp.settings import Settings, SettingsError, load_settings
from rekomi_mcp.storage import signing_secrets
from rekomi_mcp.storage.tables import AuditLineRow, SigningSecretRow
from tests.support.world import World, operate

pytestmark = pytest.mark.anyio
KEY = "a key of thirty-two characters!!"
WANTED = {"organization": "acme", "name": "Shop"}


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    return Settings.model_validate({"database_url": database, "data_dir": tmp_path, "secret_key": KEY})


async def test_a_secret_is_shown_once_and_kept_sealed(app: App, world: World) -> None:
    made = await operate(app, "create_signing_secret", WANTED)
    assert made["secret"].startswith("rks_")
    assert len(made["secret"]) == len("rks_") + 43
    listed = (await operate(app, "list_signing_secrets", {"organization": "acme"}))["items"]
    assert [(row["id"], row["hint"]) for row in listed] == [(made["id"], f"{made['secret'][:8]}…")]
    with app.open_store().reading() as session:
        row = session.exec(select(SigningSecretRow)).one()
        lines = [f"{line.before}{line.after}" for line in session.exec(select(AuditLineRow))]
        assert KeyVault(KEY, None).unseal(row.sealed, signing_secrets.place(row)) == made["secret"]
    kept = "".join([row.model_dump_json(), *lines])
    assert made["secret"] not in kept
    assert made["secret"][8:20] not in kept


async def test_several_secrets_live_at_a_time_and_each_ends_by_itself(app: App, world: World) -> None:
    made = [await operate(app, "create_signing_secret", WANTED) for _ in range(2)]
    assert made[0]["secret"] != made[1]["secret"]
    revoked = await operate(app, "revoke_signing_secret", {"secretId": made[0]["id"]})
    assert revoked["revokedAt"] is not None
    with app.open_store().reading() as session:
        assert [row.id for row in signing_secrets.live(session, world.acme.id)] == [made[1]["id"]]
        assert signing_secrets.live(session, world.neighbour.id) == []
    with pytest.raises(StatusConflict):
        await operate(app, "revoke_signing_secret", {"secretId": made[0]["id"]})
    with pytest.raises(NotFound):
        await operate(app, "revoke_signing_secret", {"secretId": "nonsense"})


async def test_no_organization_has_more_secrets_than_may_be_tried_on_a_signature(app: App, world: World) -> None:
    for _ in range(signing_secrets.MAX_LIVE):
        await operate(app, "create_signing_secret", WANTED)
    with pytest.raises(TokenLimitReached):
        await operate(app, "create_signing_secret", WANTED)
    await operate(app, "create_signing_secret", WANTED | {"organization": "neighbour"})


async def test_without_a_setting_a_file_beside_sqlite_holds_the_key_and_postgres_has_none(
    database: str, world: World, tmp_path: Path
) -> None:
    app = App(Settings(database_url=database, data_dir=tmp_path / "elsewhere"))
    async with app.running():
        if database.startswith("postgres"):
            with pytest.raises(SecretKeyRequired, match="REKOMI_SECRET_KEY"):
                await operate(app, "create_signing_secret", WANTED)
            return
        await operate(app, "create_signing_secret", WANTED)
    file = tmp_path / "secret.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("secret.key*")] == ["secret.key"]


def test_what_is_sealed_opens_with_the_same_key_at_the_same_place_only() -> None:
    vault = KeyVault(KEY, None)
    sealed = vault.seal("rks_text", "here")
    assert "rks_text" not in sealed
    assert sealed != vault.seal("rks_text", "here")
    assert KeyVault(KEY, None).unseal(sealed, "here") == "rks_text"
    assert vault.unseal(sealed, "there") is None
    assert KeyVault(KEY.upper(), None).unseal(sealed, "here") is None
    assert KeyVault(None, None).unseal(sealed, "here") is None
    for broken in ("", "v1.", "v1.!", "v1.AAAA", sealed[:-4], f"v2.{sealed[3:]}", "rks_text", "v1.é"):
        assert vault.unseal(broken, "here") is None


def test_processes_that_make_the_key_at_the_same_moment_share_one(tmp_path: Path) -> None:
    file = tmp_path / "secret.key"
    vaults = [KeyVault(None, file) for _ in range(8)]
    sealed = ["" for _ in vaults]
    start = threading.Barrier(len(vaults))

    def seal(number: int) -> None:
        start.wait()
        sealed[number] = vaults[number].seal(str(number), "here")

    threads = [threading.Thread(target=seal, args=(number,)) for number in range(len(vaults))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [KeyVault(None, file).unseal(text, "here") for text in sealed] == [str(n) for n in range(len(vaults))]
    assert list(tmp_path.iterdir()) == [file]


def test_looking_makes_no_key(tmp_path: Path) -> None:
    assert KeyVault(None, tmp_path / "secret.key").unseal("v1.AAAA", "here") is None
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_could_be_guessed_is_no_setting() -> None:
    with pytest.raises(SettingsError, match="REKOMI_SECRET_KEY: must have at least 32"):
        load_settings({"REKOMI_SECRET_KEY": "short"})
    assert KEY not in repr(load_settings({"REKOMI_SECRET_KEY": KEY}))
