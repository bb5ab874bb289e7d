"""The documentation's pages, and the commands on them."""

import re
import shlex

from support.places import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("examples/*.md")])


def code_of(text):
    """Return the pieces of code of a page: blocks' lines and what stands in backticks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    joined = (block.replace("\\\n", " ") for block in blocks)
    return [line for block in joined for line in block.splitlines()] + re.findall("`([^`]+)`", rest)


def calls_of(code):
    """Return the words of every call of `vsrpp` in a piece of code, without comments."""
    found = []
    for part in re.split(r"&&|;|\|", code):
        words = part.split("  ")[0] if part.startswith("vsrpp") else part
        try:
            words = shlex.split(words, comments=True)
        except ValueError:
            continue
        if words[:1] == ["vsrpp"] and len(words) > 1:
            found.append(words)
    return found
