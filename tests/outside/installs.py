"""`make installs`: the package as people install it, with uvx and with pipx, in folders that are not ours.

Builds the wheel and the sdist from the files of this clone, then starts each installation as an assistant does, in an
empty folder and in one with hostile packages called `tools` and `storage`, and works with it as a real MCP client.
Everything happens in a temporary folder, caches included. The package index is asked, and nothing else outside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from rekomi_mcp import __version__
from rekomi_mcp.tools import CATALOGUE

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
START_SECONDS = 120.0
FOREIGN = ("tools", "storage")
RAN = "the packages of this folder ran"


class Failure(Exception):
    """An installation does not do what it should."""


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failure(otherwise)


@contextmanager
def timed(what: str) -> Generator[None]:
    started = time.perf_counter()
    yield
    print(f"{time.perf_counter() - started:6.1f} s  {what}", flush=True)


def run(*command: str | Path, cwd: Path, env: dict[str, str]) -> str:
    """Run a command to its end; answers what it printed."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def environment(folder: Path) -> dict[str, str]:
    """An environment in which the installers keep to a folder, and in which nothing of ours is set."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("REKOMI_", "PYTHON"))}
    return inherited | {
        "PIPX_BIN_DIR": str(folder / "pipx" / "bin"),
        "PIPX_HOME": str(folder / "pipx"),
        "PIPX_MAN_DIR": str(folder / "pipx" / "man"),
        "UV_CACHE_DIR": str(folder / "uv"),
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_TOOL_DIR": str(folder / "uv-tools"),
    }


def build(folder: Path, env: dict[str, str]) -> tuple[Path, Path]:
    """The wheel and the sdist of this clone's files, and the proof that the sdist makes the same wheel."""
    tree, dist, again = folder / "tree", folder / "dist", folder / "again"
    for name in run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT, env=env).splitlines():
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    run(BIN / "uv", "build", "--wheel", "--sdist", "--out-dir", dist, tree, cwd=folder, env=env)
    [wheel], [sdist] = dist.glob("*.whl"), dist.glob("*.tar.gz")
    run(BIN / "uv", "build", "--wheel", "--out-dir", again, sdist, cwd=folder, env=env)
    ours, theirs = contents(wheel), contents(again / wheel.name)
    different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    check(different == [], f"the sdist makes another wheel: {different}")
    with tarfile.open(sdist) as archive:
        check(not any("/tests/" in name for name in archive.getnames()), "the sdist holds tests, but not all they need")
    return wheel, sdist


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def hostile(folder: Path) -> Path:
    """A folder whose packages say something and end the process that imports them."""
    for name in FOREIGN:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"print({RAN!r}, flush=True)\nraise SystemExit({RAN!r})\n")
        command = [sys.executable, "-Bc", f"import {name}"]
        tried = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        check(RAN in tried.stdout and tried.returncode == 1, f"{name} is not hostile")
    return folder


async def work_with(command: list[str], folder: Path, env: dict[str, str]) -> None:
    """Start a server in a folder as an assistant does, list its tools and call some."""
    home = folder.with_name(f"{folder.name}-home")
    home.mkdir()
    parameters = StdioServerParameters(
        command=command[0],
        args=command[1:],
        cwd=folder,
        env=env | {"HOME": str(home), "REKOMI_DATA_DIR": str(home / "d")},
    )
    said = home / "stderr.txt"
    with said.open("w") as errors, anyio.fail_after(START_SECONDS):
        async with Client(stdio_client(parameters, errlog=errors), read_timeout_seconds=START_SECONDS) as client:
            listed = {tool.name for tool in (await client.list_tools()).tools}
            check(listed == {operation.name for operation in CATALOGUE.listed()}, f"other tools: {listed}")
            await mint(client)
    complaints = [word for word in ("Traceback", "ERROR", RAN) if word in said.read_text()]
    check(complaints == [], f"it complains: {said.read_text()}")


async def mint(client: Client) -> None:
    """What an owner asks for first: a program, an affiliate, a discount and a code, which Stripe's sandbox makes."""

    async def call(tool: str, **arguments: Any) -> dict[str, Any]:
        answer = await client.call_tool(tool, arguments)
        check(not answer.is_error and answer.structured_content is not None, f"{tool}: {answer.content}")
        return answer.structured_content or {}

    await call("create_program", name="Creators", defaultCommissionType="Percentage", defaultCommissionValue=20)
    sarah = await call("create_affiliate", email="sarah@example.com", fullName="Sarah Lee")
    coupon = await call("create_campaign_coupon", name="20 off", discountValue=20)
    code = await call("mint_affiliate_code", affiliateId=sarah["id"], couponId=coupon["id"])
    check((code["code"], code["status"]) == ("SARAH20", "Active"), f"another code: {code}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="rekomi-installs-") as temporary:
        folder = Path(temporary)
        env = environment(folder)
        with timed("wheel and sdist, and the same wheel from the sdist"):
            wheel, sdist = build(folder, env)
        uvx = [str(BIN / "uvx"), "--from", str(wheel), "rekomi-mcp"]
        with timed("uvx, first use"):
            version = run(*uvx, "--version", cwd=folder, env=env).strip()
            check(version == __version__, f"it is version {version}")
        with timed("pipx install"):
            run(BIN / "pipx", "install", "--python", sys.executable, wheel, cwd=folder, env=env)
        pipx = folder / "pipx"
        installed = {
            "uvx": uvx,
            "pipx": [str(pipx / "bin" / "rekomi-mcp")],
            # Python looks for modules in the folder it is started in first; a console script does not.
            "python -m": [str(pipx / "venvs" / "rekomi-mcp" / "bin" / "python"), "-m", "rekomi_mcp"],
        }
        for name, command in installed.items():
            empty, crowded = folder / f"{name} empty", hostile(folder / f"{name} hostile")
            empty.mkdir()
            for place in (empty, crowded):
                with timed(f"{place.name} folder: an assistant lists the tools and mints a code"):
                    anyio.run(work_with, [*command, "serve", "stdio"], place, env)
                left = sorted(path.name for path in place.iterdir())
                check(left == ([] if place == empty else sorted(FOREIGN)), f"it left {left} in the folder")
        print(f"{wheel.name} and {sdist.name} install and run")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")
