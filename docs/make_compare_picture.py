"""Make the pictures of the page that `vsrpp compare` writes: of the example clip, in two windows.

    python docs/make_compare_picture.py chromium

Takes a browser of the Chromium family; see `tests/evaluation/test_page.py` for what the page does.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "examples/chickens.mp4"
PICTURES = ROOT / "docs/images"
FRAMES = "16"


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
            wide = running.new_page(viewport={"width": 1280, "height": 800}, color_scheme="dark")
            show(wide, page)
            wide.get_by_role("button", name="Largest difference").click()
            wide.wait_for_selector("#stage.enlarged")
            wide.screenshot(path=PICTURES / "compare-page.jpg", type="jpeg", quality=88)
            narrow = running.new_page(viewport={"width": 360, "height": 740}, color_scheme="light")
            show(narrow, page)
            narrow.screenshot(path=PICTURES / "compare-page-narrow.jpg", type="jpeg", quality=88)
            running.close()


def show(window: Page, page: Path) -> None:
    """Open the page, and wait for its first frame."""
    window.goto(page.as_uri())
    window.wait_for_selector("canvas[data-frame]")


if __name__ == "__main__":
    main(sys.argv[1])
