"""The built-in Stripe sandbox: a small stateful Stripe on loopback, for people and tests without an account."""

from typing import Final

SANDBOX_KEY: Final = "sk_test_sandbox"
"""The key the sandbox answers to. A longer key with this beginning works too; no real Stripe key does."""

API_VERSION: Final = "2026-10-28.endive"
"""The Stripe API version whose shapes the sandbox speaks: the one the installed `stripe` package is pinned to."""
