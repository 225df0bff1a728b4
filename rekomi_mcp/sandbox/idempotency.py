"""Idempotency keys: one key, one request, one answer."""

import json
from dataclasses import dataclass

from rekomi_mcp.sandbox.errors import KeyReused
from rekomi_mcp.sandbox.forms import Raw
from rekomi_mcp.sandbox.shapes import JsonObject
from rekomi_mcp.sandbox.work import Work


@dataclass(frozen=True)
class Remembered:
    """The answer a key has already had."""

    request_id: str
    status: int
    body: JsonObject


def fingerprint(path: str, raw: dict[str, Raw]) -> str:
    """What must be equal when a key is used again."""
    return json.dumps([path, raw], sort_keys=True)


def recall(work: Work, key: str, request: str) -> Remembered | None:
    """The earlier answer to this key, if it has one.

    Raises:
        KeyReused: the key was used with another request.
    """
    query = "SELECT request, request_id, status, body FROM idempotency WHERE account = ? AND key = ?"
    row: tuple[str, str, int, str] | None = work.db.execute(query, (work.account, key)).fetchone()
    if row is None:
        return None
    earlier, request_id, status, body = row
    if earlier != request:
        raise KeyReused(
            "Keys for idempotent requests can only be used with the same parameters they were first used with. "
            f"Try using a key other than '{key}' if you meant to execute a different request."
        )
    return Remembered(request_id, status, json.loads(body))


def remember(work: Work, key: str, request: str, answer: Remembered) -> None:
    """Keep an answer, in the transaction of what it answers. Kept for ever: a sandbox is small."""
    work.db.execute(
        "INSERT INTO idempotency (account, key, request, request_id, status, body) VALUES (?, ?, ?, ?, ?, ?)",
        (work.account, key, request, answer.request_id, answer.status, json.dumps(answer.body)),
    )
