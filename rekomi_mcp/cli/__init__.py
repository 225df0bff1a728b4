"""The command line: one function a command, each loaded when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from rekomi_mcp import __version__
from rekomi_mcp.cli.parser import build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; answers the exit status: 0 done, 1 refused or failed, 2 wrong usage."""
    arguments = build_parser(__version__).parse_args(argv)
    from rekomi_mcp import logs
    from rekomi_mcp.domain.errors import Refusal
    from rekomi_mcp.settings import SettingsError, load_settings

    try:
        settings = load_settings(file=arguments.settings)
        logs.configure(settings.log_level)
        module, _, function = arguments.run.partition(":")
        return int(getattr(importlib.import_module(f"rekomi_mcp.cli.{module}"), function)(settings, arguments) or 0)
    except SettingsError as error:
        print(f"rekomi-mcp: {error}", file=sys.stderr)
        return 2
    except Refusal as refusal:
        print(f"rekomi-mcp: {refusal.message} ({refusal.code})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
