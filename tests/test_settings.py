"""Settings: a known name of the right type, from the environment or a file, and no secret in sight."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy.engine import make_url

from rekomi_mcp.settings import Settings, SettingsError, load_settings

SECRETS = {
    "REKOMI_STRIPE_SECRET_KEY": "sk_test_hidden1",
    "REKOMI_STRIPE_WEBHOOK_SECRET": "whsec_hidden2",
    "REKOMI_TOKEN": "rk_mcp_hidden3",
    "REKOMI_DATABASE_URL": "postgresql://owner:hidden4@localhost/rekomi",
}


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    return tmp_path / "rekomi.env"


def load(**named: str) -> Settings:
    """Settings from an environment of these names, written without the prefix."""
    return load_settings({f"REKOMI_{name.upper()}": value for name, value in named.items()})


def refusal(environ: dict[str, str], file: Path | None = None) -> str:
    with pytest.raises(SettingsError) as error:
        load_settings(environ, file)
    return str(error.value)


def test_nothing_set_is_a_sandbox_on_loopback() -> None:
    settings = load_settings({})
    assert (settings.mode, settings.host, settings.port) == ("sandbox", "127.0.0.1", 8321)


def test_data_lives_in_the_home_folder_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings({}).data_dir == tmp_path / ".rekomi"
    assert load(data_dir="~/elsewhere").data_dir == tmp_path / "elsewhere"


def test_a_data_folder_stays_where_it_was_meant_when_the_working_folder_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(data_dir="data").data_dir == tmp_path / "data"


def test_names_without_our_prefix_are_none_of_our_business() -> None:
    assert load_settings({"PATH": "/bin", "STRIPE_SECRET_KEY": "sk_live_x", "rekomi_port": "9"}) == load_settings({})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("REKOMI_STRIPE_SECRET", "REKOMI_STRIPE_SECRET_KEY"),
        ("REKOMI_DATABSE_URL", "REKOMI_DATABASE_URL"),
        ("REKOMI_WEBHOOK_SECRET", "REKOMI_STRIPE_WEBHOOK_SECRET"),
        ("REKOMI_PROT", "REKOMI_PORT"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_right_one(name: str, meant: str, settings_file: Path) -> None:
    assert refusal({name: "value"}) == f"Unknown setting {name}. Did you mean {meant}?"
    settings_file.write_text(f"{name}=value\n")
    assert refusal({}, settings_file) == f"Unknown setting {name}. Did you mean {meant}?"


def test_a_name_like_none_of_ours_is_refused_with_all_of_them() -> None:
    message = refusal({"REKOMI_XYZZY": "1"})
    assert "REKOMI_XYZZY" in message
    assert all(f"REKOMI_{name.upper()}" in message for name in Settings.model_fields)
    assert "REKOMI_SETTINGS_FILE" in message


def test_a_settings_file_that_names_another_is_not_told_to_do_so(settings_file: Path) -> None:
    settings_file.write_text("REKOMI_SETTINGS_FILE=other.env\n")
    message = refusal({}, settings_file)
    assert message.startswith("Unknown setting REKOMI_SETTINGS_FILE.")
    assert message.count("REKOMI_SETTINGS_FILE") == 1


def test_a_misspelt_name_without_a_value_is_refused_too() -> None:
    assert "REKOMI_DATABASE_URL" in refusal({"REKOMI_DATABSE_URL": ""})


def test_a_file_may_name_only_settings(settings_file: Path) -> None:
    settings_file.write_text("PATH=/bin\n")
    assert "PATH" in refusal({}, settings_file)


def test_an_empty_value_is_as_if_it_were_not_set() -> None:
    assert load(stripe_secret_key="", port="", organization="") == load_settings({})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "http", "integer"),
        ("PORT", "0", "1"),
        ("PORT", "65536", "65535"),
        ("RATE_LIMIT_PER_MINUTE", "0", "1"),
        ("MAX_BODY_BYTES", "12", "1024"),
        ("STRIPE_TIMEOUT_SECONDS", "0", "0"),
        ("STRIPE_TIMEOUT_SECONDS", "81", "80"),
        ("POLL_SECONDS", "0.5", "1"),
        ("LOG_LEVEL", "LOUD", "INFO"),
        ("STRIPE_API_BASE", "localhost:12111", "https://"),
        ("PUBLIC_URL", "affiliates.example.com", "https://"),
        ("STRIPE_SECRET_KEY", "pk_test_x", "sk_test_"),
        ("TOKEN", "rk_live_x", "rk_mcp_"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(name: str, value: str, said: str) -> None:
    message = refusal({f"REKOMI_{name}": value})
    assert message.startswith(f"REKOMI_{name}: ")
    assert said in message


def test_values_become_what_they_stand_for() -> None:
    settings = load(port="9000", stripe_timeout_seconds="2.5", log_level="DEBUG", public_url="https://a.example.com/")
    assert (settings.port, settings.stripe_timeout_seconds, settings.log_level) == (9000, 2.5, "DEBUG")
    assert settings.public_url == settings.address == "https://a.example.com"


def test_a_setting_cannot_be_changed_once_read() -> None:
    with pytest.raises(ValidationError):
        load_settings({}).port = 1  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("key", "mode"),
    [
        ("sk_test_abc", "test"),
        ("rk_test_abc", "test"),
        ("sk_live_abc", "live"),
        ("rk_live_abc", "live"),
        ("sk_test_live_abc", "test"),
        ("sk_test_sandbox", "sandbox"),
    ],
)
def test_the_key_says_what_kind_of_money_it_is(key: str, mode: str) -> None:
    assert load(stripe_secret_key=key).mode == mode


@pytest.mark.parametrize("key", ["sk_live_abc", "rk_live_abc"])
def test_a_live_key_is_never_sent_to_another_address(key: str) -> None:
    environ = {"REKOMI_STRIPE_SECRET_KEY": key, "REKOMI_STRIPE_API_BASE": "http://127.0.0.1:12111"}
    message = refusal(environ)
    assert "REKOMI_STRIPE_API_BASE" in message
    assert key not in message


def test_a_test_key_may_be_used_at_another_address() -> None:
    settings = load(stripe_secret_key="sk_test_abc", stripe_api_base="http://127.0.0.1:12111/")
    assert settings.stripe_api_base == "http://127.0.0.1:12111"


def test_each_kind_of_money_has_a_file_of_its_own(tmp_path: Path) -> None:
    keys = ("", "sk_test_abc", "sk_live_abc")
    paths = [load(data_dir=str(tmp_path), stripe_secret_key=key).sqlite_path for key in keys]
    assert [path and path.parent for path in paths] == [tmp_path] * 3
    assert len({*paths, load(data_dir=str(tmp_path)).sandbox_path}) == 4


@pytest.mark.parametrize("name", ["with space", "100%41", "what?now", "a#b"])
def test_the_database_lies_in_the_data_folder_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    settings = load(data_dir=str(tmp_path / name))
    file = tmp_path / name / "rekomi-sandbox.db"
    assert settings.sqlite_path == file
    assert make_url(settings.store_url).database == str(file)


def test_a_database_elsewhere_has_no_file() -> None:
    settings = load(database_url="postgresql://localhost/rekomi")
    assert (settings.store_url, settings.sqlite_path) == ("postgresql://localhost/rekomi", None)


def test_the_environment_goes_before_the_file(settings_file: Path) -> None:
    settings_file.write_text('REKOMI_PORT=9000\nREKOMI_HOST="0.0.0.0"\n# a remark\nexport REKOMI_ORGANIZATION=acme\n')
    settings = load_settings({"REKOMI_PORT": "9001"}, settings_file)
    assert (settings.port, settings.host, settings.organization) == (9001, "0.0.0.0", "acme")


def test_the_environment_can_name_the_file(settings_file: Path, tmp_path: Path) -> None:
    settings_file.write_text("REKOMI_PORT=9000\n")
    assert load(settings_file=str(settings_file)).port == 9000
    other = tmp_path / "other.env"
    other.write_text("REKOMI_PORT=9002\n")
    assert load_settings({"REKOMI_SETTINGS_FILE": str(settings_file)}, other).port == 9002


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal({"REKOMI_SETTINGS_FILE": str(tmp_path / "none.env")})
    assert "does not exist" in refusal({}, tmp_path / "none.env")


def test_a_value_in_a_file_is_taken_as_it_stands(settings_file: Path) -> None:
    settings_file.write_text("REKOMI_DATA_DIR=/srv/${HOME}/x\n")
    assert load_settings({}, settings_file).data_dir == Path("/srv/${HOME}/x")


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_never_in_the_settings_words(name: str) -> None:
    settings = load_settings(SECRETS)
    hidden = f"hidden{list(SECRETS).index(name) + 1}"
    assert hidden in SECRETS[name]
    for text in (repr(settings), str(settings), f"{settings}"):
        assert hidden not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [("STRIPE_SECRET_KEY", "hidden-key"), ("TOKEN", "hidden-token"), ("STRIPE_SECRET_KEY", "whsec_hidden")],
)
def test_a_secret_that_is_refused_is_not_repeated(name: str, value: str) -> None:
    assert value not in refusal({f"REKOMI_{name}": value})


def test_several_webhook_secrets_are_separated_by_commas() -> None:
    assert load(stripe_webhook_secret="whsec_a, whsec_b,,").webhook_secrets == ["whsec_a", "whsec_b"]
    assert load().webhook_secrets == []
    assert load(stripe_webhook_secret="whsec_a").stripe_webhook_secret == SecretStr("whsec_a")


def test_an_ipv6_host_is_written_in_brackets_in_the_address() -> None:
    assert load(host="::1", port="80").address == "http://[::1]:80"
