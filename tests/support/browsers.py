"""A browser of the Chromium family, where there is one."""

import os
import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
SWITCHES = [
    "--no-sandbox",  # which does not work for root, as containers have it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium():
    """Yield a running browser, for a fixture; skip its tests where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright")
    named = os.environ.get("VSRPP_BROWSER")
    path = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium was found; VSRPP_BROWSER names one")
    with playwright.sync_playwright() as session:
        running = session.chromium.launch(executable_path=path, args=SWITCHES)
        yield running
        running.close()
