"""Settings: from the environment, or from a file of the same names; a name that is not known stops the start."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

PREFIX = "REKOMI_"
FILE_VARIABLE = "REKOMI_SETTINGS_FILE"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class SettingsError(Exception):
    """A setting is missing, unknown or wrong; the message says which and what to write."""


class Settings(BaseModel):
    """Every setting; each is read from the environment as `REKOMI_` and its name in capitals."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    data_dir: Path = Field(default=Path("~/.rekomi"), description="Folder of the SQLite store and of the sandbox.")
    database_url: str | None = Field(
        default=None, repr=False, description="SQLite or PostgreSQL URL; a SQLite file in the data folder when unset."
    )
    stripe_secret_key: SecretStr | None = Field(
        default=None, description="Stripe secret or restricted key; the built-in sandbox when unset."
    )
    stripe_api_base: str | None = Field(default=None, description="Another Stripe address, for tests.")
    stripe_webhook_secret: SecretStr | None = Field(
        default=None,
        description="Signing secrets of the webhook endpoint, separated by commas; webhooks are off unset.",
    )
    stripe_timeout_seconds: float = Field(default=20.0, gt=0, le=80, description="How long Stripe may take to answer.")
    secret_key: SecretStr | None = Field(
        default=None,
        description="Key that seals signing secrets, at least 32 characters; a file beside the SQLite store when unset.",
    )
    token: SecretStr | None = Field(
        default=None, description="rk_mcp_ token for stdio; the local owner of the data folder when unset."
    )
    organization: str | None = Field(default=None, description="Slug of the organization the local owner works in.")
    toolsets: str | None = Field(
        default=None,
        description="Toolsets to offer as MCP tools, separated by commas, or `all`; when unset, those of daily use.",
    )
    read_only: bool = Field(default=False, description="Offer only what changes nothing, as tools and over HTTP.")
    host: str = Field(default="127.0.0.1", description="Address the HTTP server listens on.")
    port: int = Field(default=8321, ge=1, le=65535, description="Port the HTTP server listens on.")
    public_url: str | None = Field(
        default=None, description="Address people reach the HTTP server at, when it stands behind a proxy."
    )
    rate_limit_per_minute: int = Field(default=600, ge=1, description="Calls a minute one token may make.")
    visits_per_minute: int = Field(
        default=120, ge=1, description="Visits of tracking links, and signups, a minute that count from one address."
    )
    country_header: str | None = Field(
        default=None,
        description="Header in which the proxy in front says a visitor's country, such as CF-IPCountry; none when unset.",
    )
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, description="Largest request body.")
    poll_seconds: float | None = Field(
        default=None, ge=1, description="Pause between readings of Stripe's events; 60, or 2 on the sandbox."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="What to log, to stderr."
    )

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("stripe_api_base", "public_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError("must be an address that begins with https:// or http://")
        return value.rstrip("/") if value is not None else None

    @field_validator("stripe_secret_key")
    @classmethod
    def _secret_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(
            ("sk_test_", "sk_live_", "rk_test_", "rk_live_")
        ):
            raise ValueError(
                "must be a Stripe secret key (sk_test_…, sk_live_…) or restricted key (rk_test_…, rk_live_…)"
            )
        return value

    @field_validator("token")
    @classmethod
    def _token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith("rk_mcp_"):
            raise ValueError("must be a token that begins with rk_mcp_; see `rekomi-mcp token create`")
        return value

    @field_validator("secret_key")
    @classmethod
    def _long_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters; `openssl rand -base64 32` makes a good one")
        return value

    @model_validator(mode="after")
    def _live_money_goes_to_stripe_only(self) -> Settings:
        if self.mode == "live" and self.stripe_api_base is not None:
            raise ValueError("REKOMI_STRIPE_API_BASE must not be set with a live key: it would receive the key")
        return self

    @property
    def mode(self) -> Literal["sandbox", "test", "live"]:
        """What kind of money this server handles."""
        key = self.stripe_secret_key.get_secret_value() if self.stripe_secret_key else ""
        if not key or key.startswith("sk_test_sandbox"):
            return "sandbox"
        return "live" if "_live_" in key[:8] else "test"

    @property
    def store_url(self) -> str:
        """The database. Sandbox, test and live data have files of their own, so that they never mix."""
        return self.database_url or f"sqlite:///{quote(str(self.data_dir / f'rekomi-{self.mode}.db'))}"

    @property
    def sqlite_path(self) -> Path | None:
        """The SQLite file, when the store is one."""
        scheme, _, path = self.store_url.partition(":///")
        return Path(unquote(path.partition("?")[0])) if scheme == "sqlite" else None

    @property
    def secret_key_file(self) -> Path | None:
        """Where the key that seals signing secrets is kept when it is no setting; None for a store that is no file."""
        return self.sqlite_path.parent / "secret.key" if self.sqlite_path is not None else None

    @property
    def sandbox_path(self) -> Path:
        return self.data_dir / "sandbox.db"

    @property
    def toolset_names(self) -> frozenset[str] | None:
        """The toolsets to offer; None for all."""
        if self.toolsets is None:
            return None
        return frozenset(name for part in self.toolsets.split(",") if (name := part.strip()))

    @property
    def webhook_secrets(self) -> list[str]:
        text = self.stripe_webhook_secret.get_secret_value() if self.stripe_webhook_secret else ""
        return [secret for part in text.split(",") if (secret := part.strip())]

    @property
    def poll_pause_seconds(self) -> float:
        return self.poll_seconds or (2.0 if self.mode == "sandbox" else 60.0)

    @property
    def address(self) -> str:
        """Where the HTTP server is reached."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"


def load_settings(environ: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """Read the settings; the environment goes before the file.

    Args:
        environ: the environment; the process's own when None.
        file: a file of `REKOMI_NAME=value` lines; else the one REKOMI_SETTINGS_FILE names, if it does.

    Raises:
        SettingsError: an unknown name, or a value that does not fit.
    """
    environ = os.environ if environ is None else environ
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    named = given.pop(FILE_VARIABLE, None)
    path = file or (Path(named).expanduser() if named else None)
    from_file = _read_file(path) if path is not None else {}
    values = {**from_file, **given}
    fields = {f"{PREFIX}{name.upper()}": name for name in Settings.model_fields}
    for name in values:
        if name not in fields:
            known = [*fields, FILE_VARIABLE] if name in given else list(fields)  # a file does not name another
            raise SettingsError(_unknown(name, known))
    try:
        # An empty value is no value: a way to take back what the file says.
        return Settings.model_validate({fields[name]: value for name, value in values.items() if value != ""})
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def _read_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise SettingsError(f"The settings file {path} does not exist.")
    return {name: value or "" for name, value in dotenv_values(path, interpolate=False).items()}


def _unknown(name: str, known: list[str]) -> str:
    # Without the prefix, which would make any two names alike.
    short = {k.removeprefix(PREFIX): k for k in known}
    close = difflib.get_close_matches(name.removeprefix(PREFIX), list(short), n=1, cutoff=0.6)
    advice = f"Did you mean {short[close[0]]}?" if close else f"Known settings: {', '.join(known)}."
    return f"Unknown setting {name}. {advice}"


def _explain(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_input=False)[0]
    name = f"{PREFIX}{str(first['loc'][0]).upper()}: " if first["loc"] else ""
    return f"{name}{str(first['msg']).removeprefix('Value error, ')}."
