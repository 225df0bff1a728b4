"""Thousands of webhooks in any order and some of them twice, over several connections, while the inbox is worked off."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.load.lives import Shop
from tests.load.play import lives_of, play

pytestmark = pytest.mark.anyio
EVENTS = 3_000


async def test_a_brands_life_delivered_in_any_order_ends_in_the_books_of_a_plain_computation(tmp_path: Path) -> None:
    shop = Shop()
    run = await play(shop, lives_of(shop, EVENTS), f"sqlite:///{tmp_path / 'load.db'}", tmp_path)
    assert run.faults == []
