"""The wheel: it holds every file of ours under the one name we own, and works in a folder full of other people's."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from rekomi_mcp import __version__

ROOT = Path(__file__).parent.parent
FOLDERS = {"rekomi_mcp": "rekomi_mcp", "tools": "rekomi_mcp/tools", "storage": "rekomi_mcp/storage"}
"""Where each folder of ours is found in the wheel."""
BUILD_HERE = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
OFFLINE = ("No matching distribution found for setuptools", "Could not find a version that satisfies the requirement")


def source_files() -> set[str]:
    """Every module of ours, by its place in the wheel."""
    return {
        str(PurePosixPath(place, *path.relative_to(ROOT / folder).parts))
        for folder, place in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
    }


def run(*command: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("REKOMI_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=ours | environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def has_new_setuptools() -> bool:
    """True when the build backend that pyproject.toml asks for is installed beside the tests."""
    try:
        return int(importlib.metadata.version("setuptools").partition(".")[0]) >= 77
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this tree, built from a copy so that nothing is left in it."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    if has_new_setuptools():
        built = run("-c", BUILD_HERE, str(out), cwd=tree)
    else:
        built = run("-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(out), ".", cwd=tree)
        if any(sign in built.stderr for sign in OFFLINE):
            pytest.skip("setuptools 77 or newer is neither installed nor to be had")
    assert built.returncode == 0, built.stderr
    [path] = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unzipped(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def crowded_folder(tmp_path: Path) -> Path:
    """A working folder of somebody whose own packages are called as our folders are."""
    for name in ("tools", "storage", "alembic"):
        (tmp_path / name).mkdir()
    for name in ("tools", "storage"):
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('the {name} of somebody else ran')\n")
    return tmp_path


def test_the_wheel_holds_every_module_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.endswith(".py")}
    assert packed == source_files()


def test_the_wheel_owns_one_import_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        top = {name.partition("/")[0] for name in archive.namelist()}
        assert {"rekomi_mcp/py.typed", "rekomi_mcp/transports/loader.js"} <= set(archive.namelist())
    assert top == {"rekomi_mcp", f"rekomi_mcp-{__version__}.dist-info"}


def test_the_written_list_of_packages_is_the_list_of_folders() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {str(PurePosixPath(path).parent).replace("/", ".") for path in source_files()}
    assert sorted(setuptools["packages"]) == sorted(folders)
    assert setuptools["package-dir"] == {
        place.replace("/", "."): folder for folder, place in FOLDERS.items() if folder != place
    }


def test_every_folder_of_modules_is_a_package() -> None:
    files = source_files()
    assert {f"{PurePosixPath(path).parent}/__init__.py" for path in files} <= files


def test_the_wheel_says_what_it_is_and_what_it_needs(unzipped: Path) -> None:
    [info] = importlib.metadata.distributions(name="rekomi-mcp", path=[str(unzipped)])
    assert (info.version, info.metadata["License-Expression"]) == (__version__, "MIT")
    assert [(script.name, script.value) for script in info.entry_points] == [("rekomi-mcp", "rekomi_mcp.cli:main")]
    needed = {re.split(r"[^\w-]", requirement)[0] for requirement in info.requires or []}
    assert {"mcp", "stripe", "sqlmodel", "alembic"} <= needed
    assert info.metadata["Description-Content-Type"] == "text/markdown"


def test_the_installed_wheel_runs_in_a_folder_with_other_peoples_tools_and_storage(
    unzipped: Path, crowded_folder: Path
) -> None:
    code = (
        "import rekomi_mcp.storage.tables, rekomi_mcp.tools as t; print(rekomi_mcp.storage.tables.__file__, t.__file__)"
    )
    imported = run("-c", code, cwd=crowded_folder, PYTHONPATH=str(unzipped))
    assert imported.stdout.split() == [
        str(unzipped / "rekomi_mcp" / "storage" / "tables" / "__init__.py"),
        str(unzipped / "rekomi_mcp" / "tools" / "__init__.py"),
    ]
    version = run("-m", "rekomi_mcp", "--version", cwd=crowded_folder, PYTHONPATH=str(unzipped))
    assert (version.returncode, version.stdout.strip()) == (0, __version__), version.stderr


def test_the_installed_wheel_carries_its_migrations(unzipped: Path, crowded_folder: Path) -> None:
    data = crowded_folder / "data"
    made = run("-m", "rekomi_mcp", "init", cwd=crowded_folder, PYTHONPATH=str(unzipped), REKOMI_DATA_DIR=str(data))
    assert made.returncode == 0, made.stderr
    assert (data / "rekomi-sandbox.db").is_file()
