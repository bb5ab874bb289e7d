"""The page about Python: its examples run, and a type checker has nothing to say against them."""

import re
import subprocess
import sys

import pytest

from support.clips import write_clip
from support.commands import ENVIRONMENT
from support.places import DATA, ROOT

PAGE = (ROOT / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMPLETE = {
    "frames of (256, 256)": BLOCKS[1],
    "size times 4": BLOCKS[2],
    "x4_other.mp4 done": BLOCKS[3],
}
"""The complete examples, by what each of them prints among others."""


@pytest.mark.parametrize(("said", "code"), COMPLETE.items(), ids=COMPLETE)
def test_an_example_of_the_page_runs(said, code, tmp_path):
    for name in "in.mp4", "other.mp4":
        write_clip(tmp_path / name, 6)
    (tmp_path / "example.py").write_text(code)
    command = [sys.executable, "example.py"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


@pytest.mark.slow
def test_a_strict_type_checker_knows_the_type_of_everything(tmp_path):
    names = []
    for number, code in enumerate(BLOCKS):
        names.append(f"example_{number}.py")
        (tmp_path / names[-1]).write_text(code)
    # The user's settings, not ours; where the package lies counts as installed.
    options = ["--strict", "--config-file=", f"--cache-dir={ROOT / '.mypy_cache'}"]
    script = DATA / "typed_script.py"
    command = [sys.executable, "-m", "mypy", *options, *names, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout
    shown = re.findall(r'Revealed type is "(.*)"', done.stdout)
    assert len(shown) == script.read_text().count("reveal_type(")
    # The shape of an array has no type that NumPy would tell.
    assert not [text for text in shown if "Any" in text.replace("tuple[Any, ...]", "")], shown
