"""Make docs/images/compare-page.jpg: the page of the example clip that `vsrpp compare` writes.

    python docs/make_compare_picture.py chromium

Takes a browser of the Chromium family; see `tests/evaluation/test_page.py` for what the page does.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "examples/chickens.mp4"
TARGET = ROOT / "docs/images/compare-page.jpg"
FRAMES = "16"
WINDOW = {"width": 1280, "height": 800}


def run(*words: str | Path) -> None:
    """Run a command of vsrpp."""
    subprocess.run([sys.executable, "-m", "vsrpp_cli", *map(str, words)], check=True)


def main(browser: str) -> None:
    """Upscale some frames, make the page, and take its picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large, page, report = folder / "chickens_x4.mp4", folder / "page.html", folder / "r.json"
        run("upscale", CLIP, large, "--model", "compact", "--frames", FRAMES, "--report", report)
        run("compare", CLIP, large, "--frames", FRAMES, "--html", page, "--report", report)
        with sync_playwright() as session:
            running = session.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            opened = running.new_page(viewport=WINDOW, color_scheme="dark")
            opened.goto(page.as_uri())
            opened.wait_for_selector("canvas[data-frame]")
            opened.get_by_role("button", name="Largest difference").click()
            opened.wait_for_selector("#stage.enlarged")
            opened.screenshot(path=TARGET, type="jpeg", quality=88)
            running.close()


if __name__ == "__main__":
    main(sys.argv[1])
