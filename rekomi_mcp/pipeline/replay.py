"""Keyed writes: the same key and arguments receive the first answer again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import rekomi_mcp.storage as storage
from rekomi_mcp.domain.access import Caller
from rekomi_mcp.domain.errors import IdempotencyConflict, InvalidInput
from rekomi_mcp.operation import Context, Input
from rekomi_mcp.pipeline.calls import Call

if TYPE_CHECKING:
    from rekomi_mcp.storage.idempotency import Key
    from rekomi_mcp.storage.tables import IdempotencyRecordRow

MAX_KEY_LENGTH = 255


def key_of(call: Call, caller: Caller, request: Input) -> Key | None:
    """The key of a keyed write, bound to its organization, operation and arguments.

    Raises:
        InvalidInput: the key is empty or too long.
    """
    if call.idempotency_key is None:
        return None
    if not 0 < len(call.idempotency_key) <= MAX_KEY_LENGTH or not call.idempotency_key.isprintable():
        raise InvalidInput(
            f"An idempotency key has 1 to {MAX_KEY_LENGTH} printable characters; a UUID is a good one.",
            field="idempotencyKey",
        )
    return storage.idempotency.Key(
        caller.organization_id, call.operation.name, call.idempotency_key, digest_of(request)
    )


def digest_of(request: Input) -> str:
    """What makes two requests the same: their arguments."""
    text = json.dumps(request.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def first_answer(context: Context, key: Key) -> dict[str, Any] | None:
    """The first answer to this key; None when this call is the first, or the first still waits for Stripe.

    Raises:
        IdempotencyConflict: the key was used with other arguments.
    """
    return _answer_of(storage.idempotency.claim(context.session, key, context.now), key)


def earlier_answer(context: Context, key: Key) -> dict[str, Any] | None:
    """The first answer to this key, without taking the key when there is none.

    Raises:
        IdempotencyConflict: the key was used with other arguments.
    """
    return _answer_of(storage.idempotency.find(context.session, key), key)


def _answer_of(record: IdempotencyRecordRow | None, key: Key) -> dict[str, Any] | None:
    if record is None:
        return None
    if record.request_sha256 != key.request_sha256:
        raise IdempotencyConflict(
            "This idempotency key was used before with other arguments. Use a new key for a new request.",
            field="idempotencyKey",
        )
    return record.response
