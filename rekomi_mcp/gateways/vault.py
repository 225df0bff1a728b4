"""Seal texts that the server must be able to read again, with a key of the deployment's own."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path
from threading import Lock

from rekomi_mcp.domain.errors import SecretKeyRequired

_VERSION = "v1."
_NONCE_BYTES = 12


class KeyVault:
    """AES-256-GCM under a key derived from the setting, or from a file that is made when it is first needed."""

    def __init__(self, key: str | None, file: Path | None) -> None:
        """
        Args:
            key: what the setting says; goes before the file.
            file: where the key is kept otherwise; None when there is no folder that all processes share.
        """
        self._text = key
        self._file = file
        self._key: bytes | None = None
        self._lock = Lock()

    def seal(self, text: str, place: str) -> str:
        """The text, encrypted; it opens only for the same place, so a copied row is worth nothing elsewhere.

        Raises:
            SecretKeyRequired: there is no setting, and no file to keep a key in.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._have_key(make=True)
        if key is None:
            raise SecretKeyRequired(
                "Set REKOMI_SECRET_KEY first, to the same text for every process of this server: signing secrets are kept "
                "sealed with it. `openssl rand -base64 32` makes a good one."
            )
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + AESGCM(key).encrypt(nonce, text.encode(), place.encode())
        return _VERSION + base64.urlsafe_b64encode(sealed).decode()

    def unseal(self, sealed: str, place: str) -> str | None:
        """The text; None when it was sealed with another key, for another place, or by nobody."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._have_key(make=False)
        if key is None or not sealed.startswith(_VERSION):
            return None
        try:
            content = base64.urlsafe_b64decode(sealed.removeprefix(_VERSION))
            return AESGCM(key).decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], place.encode()).decode()
        except (binascii.Error, InvalidTag, ValueError):
            return None

    def has_key(self) -> bool:
        """Whether there is a key; looking makes none.

        Raises:
            OSError: its file is there and cannot be read.
            ValueError: its file holds something else.
        """
        return self._have_key(make=False) is not None

    def _have_key(self, *, make: bool) -> bytes | None:
        with self._lock:
            if self._key is None:
                text = self._text or self._from_file(make=make)
                self._key = _derived(text) if text is not None else None
            return self._key

    def _from_file(self, *, make: bool) -> str | None:
        if self._file is None:
            return None
        if make and not self._file.exists():
            _make(self._file)
        try:
            return self._file.read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None


def _derived(text: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length=32, salt=None, info=b"rekomi-mcp signing secrets").derive(text.encode())


def _make(file: Path) -> None:
    """Make the file with a new key in it, for its owner alone; when another process was faster, its key stays."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as writing:
            writing.write(f"{secrets.token_urlsafe(32)}\n")
            writing.flush()
            os.fsync(writing.fileno())
        # A link appears with its content, and never in the place of another.
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
