"""The page that `vsrpp compare --html` writes: what it holds, and how it behaves in a browser."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from support.browsers import chromium
from vsrpp_cli.cli.main import main as vsrpp
from vsrpp_cli.errors import UsageError
from vsrpp_cli.evaluation.comparison.compare import compare
from vsrpp_cli.evaluation.comparison.inputs import Crop, Inputs
from vsrpp_cli.evaluation.comparison.page import PageSettings, write_page
from vsrpp_cli.evaluation.comparison.pictures import write_picture

WIDTH, HEIGHT, FRAMES = 96, 64, 8
WORST = 5
"""The frame with a green spot in the second input, at the bottom right."""
NASTY = "</script><!-- & \"quoted\" 'ünïcode'"


def shade(number):
    """Return the level of frame `number`."""
    return 60 + 20 * number


def make_inputs(folder):
    """Red frames, and blue ones twice the size; the brighter, the later."""
    for number in range(FRAMES):
        red, blue = (np.zeros((3, k * HEIGHT, k * WIDTH), np.uint8) for k in (1, 2))
        red[0], blue[2] = shade(number), shade(number)
        if number == WORST:
            blue[1, 96:120, 144:184] = 255
        write_picture(folder / "red" / f"{number}.png", red)
        write_picture(folder / "blue" / f"{number}.png", blue)
    return [folder / "red", folder / "blue"]


def data_of(page):
    text = page.read_text("utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return compare(Inputs(make_inputs(tmp_path_factory.mktemp("inputs"))))


@pytest.fixture(scope="module")
def page_file(tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("page")
    report = {"output": "out.mkv", "status": "done", "model": "tiny", "notes": [NASTY]}
    (folder / "report.json").write_text(json.dumps(report))
    words = [*found.inputs.paths, "--html", folder / "page.html", "--label", NASTY]
    words += ["--label", "a_name_that_does_not_end_" * 6]
    words += ["--report", folder / "report.json"]
    done = CliRunner().invoke(vsrpp, ["compare", *map(str, words)])
    assert done.exit_code == 0, done.output
    assert f"{folder / 'page.html'}: 8 frames, quality 95" in done.stderr
    return folder / "page.html"


def test_a_page_names_nothing_but_itself(page_file):
    text = page_file.read_text("utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert "&lt;/script&gt;&lt;!--" in text
    assert text.count("</script>") == 2


def test_a_page_holds_the_frames_that_differ_most(tmp_path, found):
    made = write_page(tmp_path / "p.html", found, PageSettings(frames=4))
    data = data_of(tmp_path / "p.html")
    assert made.frames == len(data["frames"]) == 3  # one for each moment, WORST first
    assert WORST in [frame["number"] for frame in data["frames"]]
    assert data["frames"][data["first"]]["number"] == WORST


def test_a_page_of_a_frame_and_a_part(tmp_path, found):
    settings = PageSettings(frames=3, frame=6, crop=Crop(20, 10, 70, 40))
    write_page(tmp_path / "p.html", found, settings)
    data = data_of(tmp_path / "p.html")
    assert [frame["number"] for frame in data["frames"]] == [5, 6, 7]
    assert data["size"] == [40, 20]
    assert data["frames"][data["first"]]["number"] == 6


def test_the_command_takes_the_number_of_frames(tmp_path, found):
    page = tmp_path / "p.html"
    words = [*found.inputs.paths, "--html", page, "--html-frames", 3]
    done = CliRunner().invoke(vsrpp, ["compare", *map(str, words)])
    assert done.exit_code == 0, done.output
    assert len(data_of(page)["frames"]) == 3


def test_quality_and_frames_give_way_to_the_size_asked_for(tmp_path):
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        for number in range(6):
            noise = random.integers(0, 256, (3, 96, 96)).astype(np.uint8)
            write_picture(tmp_path / name / f"{number}.png", noise)
    found = compare(Inputs([tmp_path / "a", tmp_path / "b"]))
    free = write_page(tmp_path / "free.html", found, PageSettings())
    assert (free.frames, free.quality) == (6, 95)
    room = free.size - 40_000
    made = write_page(tmp_path / "less.html", found, PageSettings(size=room))
    assert (tmp_path / "less.html").stat().st_size == made.size <= room
    assert made.frames == 6
    assert made.quality < 95
    made = write_page(tmp_path / "few.html", found, PageSettings(size=free.size - 120_000))
    assert made.frames < 6
    with pytest.raises(UsageError, match=r"not even one frame fits into a page of 0\.01 MB"):
        write_page(tmp_path / "none.html", found, PageSettings(size=10_000))


@pytest.fixture(scope="module")
def browser():
    yield from chromium()


class Shown:
    """A page in a browser, with what it asked for and complained about."""

    def __init__(self, browser, file, **context):
        size = {"width": 1280, "height": 800}
        self.context = browser.new_context(**{"viewport": size, **context})
        self.page = self.context.new_page()
        self.troubles, self.requests = [], []
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(Path(file).as_uri())
        self.wait_for(WORST)
        self.stage = self.page.locator("#stage")
        self.divider = self.page.get_by_role("slider", name="Divider")

    def wait_for(self, number):
        for side in ("left", "right"):
            self.page.wait_for_selector(f'[data-side="{side}"] canvas[data-frame="{number}"]')

    def colors(self, *places):
        """Return the colours of places of the stage, in parts of its width and height."""
        image = Image.open(io.BytesIO(self.stage.screenshot())).convert("RGB")
        return [image.getpixel((int(x * image.width), int(y * image.height))) for x, y in places]

    def green(self, x, y):
        """Return whether the spot that differs is seen at a place."""
        ((_, green, _),) = self.colors((x, y))
        return green > 150

    def sides(self, *places):
        """Return which input is seen at some places across."""
        return ["red" if r > b else "blue" for r, _, b in self.colors(*((x, 0.3) for x in places))]

    def point(self, x, y=0.5):
        box = self.stage.bounding_box()
        return {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}

    def drag(self, start, end):
        self.page.mouse.move(*self.point(*start).values())
        self.page.mouse.down()
        self.page.mouse.move(*self.point(*end).values(), steps=4)
        self.page.mouse.up()

    def close(self):
        self.context.close()
        assert not self.troubles
        assert [url for url in self.requests if not url.startswith(("file:", "data:"))] == []


@pytest.fixture
def shown(browser, page_file):
    opened = Shown(browser, page_file)
    yield opened
    opened.close()


def test_the_slider_moves_by_mouse_and_keys(shown):
    assert shown.sides(0.4, 0.6) == ["red", "blue"]
    shown.drag((0.5, 0.5), (0.2, 0.5))
    assert shown.divider.get_attribute("aria-valuenow") == "20"
    assert shown.sides(0.15, 0.25) == ["red", "blue"]
    shown.drag((0.6, 0.7), (0.8, 0.7))
    assert shown.sides(0.75, 0.85) == ["red", "blue"]
    shown.divider.focus()
    for key, now in (("ArrowLeft", "78"), ("PageDown", "68"), ("End", "100"), ("Home", "0")):
        shown.page.keyboard.press(key)
        assert shown.divider.get_attribute("aria-valuenow") == now
    assert shown.sides(0.1) == ["blue"]
    shown.page.keyboard.press("x")
    assert shown.sides(0.9) == ["red"]


def test_frames_step_by_keys_buttons_and_slider(shown):
    page = shown.page
    for act, number in (
        (lambda: page.keyboard.press("ArrowRight"), 6),
        (lambda: page.get_by_role("button", name="Next frame").click(), 7),
        (lambda: page.keyboard.press("ArrowRight"), 7),
        (lambda: page.get_by_role("button", name="Previous frame").click(), 6),
        (lambda: page.get_by_role("slider", name="Frame").fill("1"), 1),
    ):
        act()
        shown.wait_for(number)
        assert f"frame {number} · 0:00.{4 * number:02d}" in page.locator("#where").text_content()
        (red, _, _), (_, _, blue) = shown.colors((0.2, 0.3), (0.7, 0.3))
        assert (red, blue) == pytest.approx((shade(number), shade(number)), abs=6)
    page.get_by_role("button", name="Play").click()
    shown.wait_for(3)
    page.get_by_role("button", name="Pause").click()


def test_zooming_finds_the_spot_and_stays_where_it_is_pointed(shown):
    page, level = shown.page, shown.page.locator("#zoom-level")
    fit = level.text_content()
    page.get_by_role("button", name="Largest difference").click()
    page.wait_for_function(
        "fit => document.getElementById('zoom-level').textContent != fit", arg=fit
    )
    page.keyboard.press("Shift+ArrowLeft")
    assert shown.green(0.6, 0.5)
    shown.drag((0.6, 0.5), (1.6, 0.5))
    assert not shown.green(0.6, 0.5)
    page.keyboard.press("0")
    assert level.text_content() == fit
    page.mouse.move(*shown.point(0.85, 0.8).values())
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    page.wait_for_selector("#stage.enlarged")
    assert shown.green(0.85, 0.8)


def test_side_by_side_shows_both_whole(shown):
    shown.page.keyboard.press("v")
    assert shown.sides(0.1, 0.4, 0.6) == ["red", "red", "blue"]
    assert shown.green(0.5 + 0.85 / 2, 0.84)
    assert not shown.divider.is_visible()


def test_of_three_inputs_any_two_are_shown(browser, tmp_path, found):
    red, blue = found.inputs.paths
    three = compare(Inputs([red, blue, red]))
    write_page(
        tmp_path / "p.html",
        three,
        PageSettings(labels=("first_of_all_there_are" * 5, "second", "third")),
    )
    shown = Shown(browser, tmp_path / "p.html", viewport={"width": 360, "height": 800})
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert shown.sides(0.2, 0.8) == ["red", "red"]
    shown.page.get_by_label("Left").select_option("second")
    shown.page.wait_for_function("document.querySelector('figcaption').textContent > 'second'")
    shown.wait_for(WORST)
    assert shown.sides(0.2, 0.8) == ["blue", "red"]
    shown.close()


def test_what_is_told_beside_it(shown):
    text = shown.page.locator("aside").inner_text()
    assert "These figures say how much was changed, not how good it is" in text
    assert "tiny" in text
    assert NASTY in text
    assert NASTY in shown.page.title()


def test_fingers_move_the_divider_and_zoom(browser, page_file):
    size = {"width": 390, "height": 800}
    shown = Shown(browser, page_file, viewport=size, has_touch=True, is_mobile=True)
    touch = shown.context.new_cdp_session(shown.page)

    def fingers(kind, *points, first=0):
        places = [{**shown.point(*point), "id": i} for i, point in enumerate(points, first)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    fingers("touchStart", (0.5, 0.5))
    fingers("touchMove", (0.3, 0.5))
    fingers("touchEnd")
    assert shown.divider.get_attribute("aria-valuenow") == "30"
    fingers("touchStart", (0.8, 0.5))
    assert shown.divider.get_attribute("aria-valuenow") == "30"  # the page may be about to scroll
    fingers("touchEnd")
    assert shown.divider.get_attribute("aria-valuenow") == "80"
    fingers("touchStart", (0.6, 0.5), (0.7, 0.5))
    fingers("touchMove", (0.5, 0.5), (0.8, 0.5))
    fingers("touchEnd", (0.5, 0.5))  # the other finger stays
    fingers("touchMove", (0.7, 0.5), first=1)
    fingers("touchMove", (0.6, 0.5), first=1)
    fingers("touchEnd")
    shown.page.wait_for_selector("#stage.enlarged")
    shown.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light"), (2560, "dark")])
def test_the_page_is_accessible_and_fits_its_window(browser, page_file, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
    size = {"width": width, "height": 800}
    shown = Shown(browser, page_file, viewport=size, color_scheme=scheme, reduced_motion="reduce")
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    result = axe.Axe().run(shown.page)
    assert result.violations_count == 0, result.generate_report()
    shown.close()
