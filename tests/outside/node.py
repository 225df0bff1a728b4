"""Programs of the npm world, from the versions pinned in package.json and run by the Node pinned there too."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"
CONFORMANCE = "@modelcontextprotocol/conformance/dist/index.js"
INSPECTOR = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"


def command(program: str, *arguments: str) -> list[str]:
    """The command line of one of these programs.

    Raises:
        SystemExit: they are not installed.
    """
    script = MODULES / program
    if not script.exists():
        raise SystemExit(
            f"{script.relative_to(FOLDER.parent.parent)} is missing. Run the make target, which installs it."
        )
    return [str(MODULES / "node/bin/node"), str(script), *arguments]
