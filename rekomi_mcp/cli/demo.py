"""`rekomi-mcp demo`."""

from __future__ import annotations

import argparse

import anyio

from rekomi_mcp.demo.story import play
from rekomi_mcp.settings import Settings


def demo(settings: Settings, arguments: argparse.Namespace) -> int:
    """Play the story. It has a folder and servers of its own, whatever the settings say."""
    return anyio.run(play)
