"""`make browser`: what must hold in a visitor's browser, in a real Chromium against a real server."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio

from rekomi_mcp.demo.stage import Stage
from tests.outside.browser import checks
from tests.outside.browser.brand import Brand, populate, site_of

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
TIMEOUT_MS = 10_000
Check = Callable[[Any, Brand], None]


def chromium() -> str | None:
    """Where a Chromium is: the one that CHROMIUM names, or one on the path."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def visitor(browser: Any) -> Generator[Any]:
    """A page in a browser of its own; an error in the page's scripts fails the check."""
    # Without the word that marks it as a program, or its visits would count for nothing.
    agent = re.sub("Headless", "", str(browser.new_page().evaluate("navigator.userAgent")))
    context = browser.new_context(user_agent=agent)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    errors: list[str] = []

    def keep(error: object) -> None:
        errors.append(str(error))

    page.on("pageerror", keep)
    try:
        yield page
    finally:
        context.close()
    assert errors == []


def run(browser: Any, brand: Brand, check: Check, *before: Check) -> bool:
    """One check, after what must have happened before in the same browser."""
    name = check.__name__.replace("_", " ")
    try:
        with visitor(browser) as page:
            for part in (*before, check):
                part(page, brand)
    except Exception:  # noqa: BLE001 - told, and counted
        print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"ok   {name}", flush=True)
    return True


def run_all(browser: Any, stage: Stage, program: str, token: str) -> list[bool]:
    with site_of(stage.url, token, program) as brand, ExitStack() as server:
        server.enter_context(stage.http_server())
        brand.change_program(websiteUrl=brand.site)
        brand.snippet = brand.ask("GET", "r/install-snippet")["snippet"]

        def stop(page: Any, brand: Brand) -> None:
            server.close()

        passed = [run(browser, brand, check) for check in checks.RUNNING]
        passed.append(
            run(browser, brand, checks.without_the_server_a_visitor_is_still_known, checks.come_by_a_link, stop)
        )
        passed.append(run(browser, brand, checks.without_the_script_the_page_works))
    return passed


def main() -> int:
    start, where = time.monotonic(), chromium()
    if where is None:
        print(
            "browser: skipped, for no Chromium was found. Install one (apt-get install chromium) or name it: CHROMIUM=…"
        )
        return 0
    playwright: Any = importlib.import_module("playwright.sync_api")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="rekomi-browser-") as folder:
        stage = Stage(Path(folder))
        stage.environment |= {"REKOMI_VISITS_PER_MINUTE": "10000"}
        program, token = anyio.run(populate, stage.folder)
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=where, args=options)
            passed = run_all(browser, stage, program, token)
            browser.close()
    failed = passed.count(False)
    print(f"browser: {'FAILED' if failed else 'passed'}, {len(passed)} checks in {time.monotonic() - start:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
