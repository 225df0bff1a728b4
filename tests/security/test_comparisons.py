"""Secrets are compared in constant time or by digest, never with ==; found by reading the source."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from typing import Any

import pytest
import stripe

from rekomi_mcp.gateways.stripe import verify_webhook
from rekomi_mcp.pipeline import signatures
from tests.test_architecture import modules, tree

SECRET = re.compile(
    r"(?i)(?:^|_)(?:secrets?|tokens?|signatures?|password|api_key|digest|sha256|hmac|credential)(?:$|_)"
)
"""Names that hold what nobody may guess, or what is made of it."""
LOOK_UP = "in a query, by the digest of 256 random bits: what its timing tells is of no use"
OWN_DIGEST = "a digest of the caller's own arguments"
OWN_HASHES = "the audit log's hashes, which are no secret"
ALLOWED = {
    ("rekomi_mcp.storage.identity", "sha256"): LOOK_UP,
    ("rekomi_mcp.pipeline.replay", "request_sha256"): OWN_DIGEST,
    ("rekomi_mcp.storage.outbound", "request_sha256"): OWN_DIGEST,
    ("rekomi_mcp.storage.audit", "sha256"): OWN_HASHES,
    ("rekomi_mcp.storage.audit", "end_sha256"): OWN_HASHES,
    ("rekomi_mcp.tools.audit_log", "API_KEY"): "a kind of actor",
}


def names_in(node: ast.AST) -> set[str]:
    """The names and attributes that a comparison reads."""
    return {
        n.attr if isinstance(n, ast.Attribute) else n.id
        for n in ast.walk(node)
        if isinstance(n, ast.Attribute | ast.Name)
    }


def comparisons(source: ast.AST) -> set[str]:
    """Secrets that are compared by what stops at the first difference."""
    found: set[str] = set()
    for node in ast.walk(source):
        compared = list[ast.AST]()
        if isinstance(node, ast.Compare) and any(
            isinstance(o, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for o in node.ops
        ):
            sides = [node.left, *node.comparators]
            # With a constant nothing is guessed: None, "", a list of kinds.
            compared = [side for side in sides if not isinstance(side, ast.Constant)]
            compared = compared if len(compared) == len(sides) else []
        found |= {name for side in compared for name in names_in(side) if SECRET.search(name)}
    return found


@pytest.mark.parametrize("module", list(modules()))
def test_no_secret_is_compared_by_what_stops_at_the_first_difference(module: str) -> None:
    assert {name for name in comparisons(tree(module)) if (module, name) not in ALLOWED} == set()


def test_every_exception_is_still_needed() -> None:
    for module, name in ALLOWED:
        assert name in comparisons(tree(module)), (module, name)


@pytest.mark.parametrize(
    "source",
    [
        "if token == given: pass",
        "if given != self._secret: pass",
        "ok = expected_signature == header",
        "ok = key in api_keys or row.sha256 == digest(text)",
        "ok = settings.webhook_secret.get_secret_value() == text",
        "ok = secret in secrets",
    ],
)
def test_such_a_comparison_would_be_found(source: str) -> None:
    assert comparisons(ast.parse(source))


@pytest.mark.parametrize("source", ["ok = token is None", "ok = token == ''", "ok = compare_digest(token, given)"])
def test_a_harmless_one_would_not(source: str) -> None:
    assert not comparisons(ast.parse(source))


def test_a_servers_signature_is_compared_in_constant_time() -> None:
    assert "hmac.compare_digest(made, signature.mac_hex)" in inspect.getsource(signatures)


def test_a_webhooks_signature_is_compared_in_constant_time() -> None:
    """The one place where Stripe's signature is checked calls the stripe package, which leaves it to `hmac`."""
    assert "verify_header" in inspect.getsource(verify_webhook)
    verify: Any = stripe.WebhookSignature
    assert "secure_compare(" in inspect.getsource(verify.verify_header)
    util: Any = importlib.import_module("stripe._util")
    assert "hmac.compare_digest(" in inspect.getsource(util.secure_compare)
