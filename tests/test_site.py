"""The site: built strictly, every page in its contents, every link leading somewhere."""

import shutil
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

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
