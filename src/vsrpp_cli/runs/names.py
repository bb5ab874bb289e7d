"""Checks names of outputs, and derives temporary names from them."""

import os
import re
from pathlib import Path

from vsrpp_cli.durable import beside, longest_name
from vsrpp_cli.errors import UsageError

_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
_CHARACTERS = re.compile(r'[<>:"|?*\\/\x00-\x1f]')


def refused_by_windows(name: str) -> str | None:
    """Return why Windows refuses a file of this name; None if it does not.

    With a colon Windows would not fail, but write `a:b.mp4` into a hidden stream of `a`.
    """
    if _DEVICES.fullmatch(name.rstrip(" .")):
        return "is the name of a device"
    if found := _CHARACTERS.search(name):
        return f"has {found.group()!r} in it"
    if name.endswith((" ", ".")):
        return "ends with a dot or a space"
    return None


def check_name(path: Path, *, windows: bool = os.name == "nt") -> None:
    """Check that this system allows a file of this name.

    Raises:
        UsageError: it does not; the message says why.
    """
    refuse_long_name(path)
    if windows and (reason := refused_by_windows(path.name)):
        raise UsageError(f"{path}: a name on Windows cannot be so, it {reason}")


def refuse_long_name(path: Path) -> None:
    """Refuse a name that no file in its folder may have, before work is done for it.

    Raises:
        UsageError: the name is too long.
    """
    length, longest = len(os.fsencode(path.name)), longest_name(path.parent)
    if length > longest:
        raise UsageError(
            f"{path}: the name is too long ({length} bytes, {longest} at most): give a shorter one"
        )


def temporary_output(output: Path) -> Path:
    """Return the path of the joined result, next to the output, until it is verified."""
    return beside(output, ".", output.stem, f".vsrpp-part{output.suffix}")


def unverified_output(output: Path) -> Path:
    """Return the path at which a result is kept that failed verification."""
    return beside(output, "", output.stem, f".unverified{output.suffix}")
