"""The site: built strictly, every page in its contents, every link leading somewhere."""

import shutil
import subprocess
import sys
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from support.browsers import chromium
from support.places import ROOT


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = set(), set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values.get("id"), values.get("name")}
        target = values.get("href", values.get("src"))
        if target is not None and not urlsplit(target).scheme:
            self.links.add(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def test_every_page_is_in_the_contents(site):
    contents = Page(site / "index.html").links
    for source in (ROOT / "docs").glob("*.md"):
        name = source.stem
        assert {f"{name}/", f"./{name}/"} & contents or name == "index", name


def test_every_link_leads_somewhere(site):
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 15
    for path, page in pages.items():
        if path.name == "404.html":  # shown at any address, so its links begin at the site's root
            continue
        for link in page.links:
            address, anchor = urldefrag(unquote(link))
            target = (path.parent / address).resolve() if address else path
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{path.parent.name}: {link}"
            if anchor and target in pages:
                assert anchor in pages[target].anchors, f"{path.parent.name}: {link}"


def test_pages_load_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        text = path.read_text()
        assert "fonts.googleapis" not in text
        assert 'src="http' not in text


# In a browser


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(site):
    """The address of the site, served from this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    yield from chromium()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_the_start_page_is_accessible_and_fits_its_window(browser, address, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
    size = {"width": width, "height": 800}
    with browser.new_context(viewport=size, color_scheme=scheme) as context:
        page = context.new_page()
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        levels = {"runOnly": ["wcag2a", "wcag2aa"]}
        result = axe.Axe().run(page, options=levels)
        assert result.violations_count == 0, result.generate_report()


def test_every_page_fits_a_telephone_and_asks_no_other_server(browser, address, site):
    with browser.new_context(viewport={"width": 360, "height": 740}) as context:
        page, asked, troubles = context.new_page(), set(), []
        page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        for path in site.rglob("index.html"):
            page.goto(address + path.relative_to(site).as_posix())
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path.parent.name
        assert asked == {urlsplit(address).netloc}
        assert troubles == []
