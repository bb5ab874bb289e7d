"""Commands in the documentation's blocks are run as they stand there, on small files."""

import re
import shutil

import pytest
from PIL import Image

from support.clips import moving_picture, write_clip
from support.commands import vsrpp
from support.pages import PAGES, calls_of

NOT_RUN = {
    r"\[OPTIONS\]|INPUT_DIR": "shows what a command takes",
    r"reds4|vimeo90k|ntire|real-basicvsr|my_run|my-model": "needs weights that do not ship inside",
    r"cuda:": "needs two GPUs",
    r"--cluster": "needs a Ray cluster",
    r"--emit|/scratch": "is for a scheduler or another machine's folders",
    r"^vsrpp (bench|train)": "takes minutes to days",
    r"^vsrpp evaluate": "measures for minutes, mostly on a benchmark's frames",
    r"completion": "is for the user's shell, and writes to the home folder",
    r"examples/": "takes the example clip, a minute's work: `.ci/run` does it",
}
"""Which commands are not run, and why."""


def documented():
    """Return all commands in fenced blocks, each once; pipes are tested where they are made."""
    found = set()
    for page in PAGES:
        blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
        shell = "\n".join(text for language, text in blocks if not language)
        lines = shell.replace("\\\n", " ").splitlines()
        alone = [line for line in lines if "|" not in line.split("#")[0]]
        found |= {tuple(words) for line in alone for words in calls_of(line) if "-" not in words}
    return {" ".join(words): words[1:] for words in sorted(found)}


COMMANDS = documented()
RUN = {t: words for t, words in COMMANDS.items() if not re.search("|".join(NOT_RUN), t)}

RESULTS = ("_x4.", "_1080p.", "a.mkv", "b.mkv")
"""What names of videos hold that stand for results."""


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """A film of 76 seconds in 3 frames, enlarged, cut short, one of more frames, and pictures."""
    folder = tmp_path_factory.mktemp("stock")
    times = [0, 62 * 24, 76 * 24]
    write_clip(folder / "film.mkv", 3, pts=times, audio=True)
    write_clip(folder / "result.mkv", 3, (256, 256), pts=times)
    write_clip(folder / "trial.mkv", 2, (256, 256))
    write_clip(folder / "long.mkv", 18)
    (folder / "frames").mkdir()
    for number in range(3):
        picture = Image.fromarray(moving_picture(number, 64, 64))
        picture.save(folder / "frames" / f"shot_{number:05}.png")
    return folder


def provide(words, stock, place):
    """Put into a folder what a command wants to read."""
    several = words[0] == "compare" or "--output-dir" in words
    for word in words[1:] if several else words[1:2]:
        target = place / word
        if word == "tapes/":
            target.mkdir()
            shutil.copy(stock / "film.mkv", target)
        elif word == "renders/":
            shutil.copytree(stock / "frames", target / "one")
        elif word == "frames/":
            shutil.copytree(stock / "frames", target)
        elif word.startswith("shot_"):
            shutil.copytree(stock / "frames", place, dirs_exist_ok=True)
        elif word.endswith(".vsrpp"):
            length = "long" if words[0] == "worker" else "film"
            shutil.copy(stock / f"{length}.mkv", place / "film.mp4")
            plan = ("plan", "film.mp4", word.removesuffix(".vsrpp"), "--write", "--segment", 1)
            vsrpp(*plan, check=0, cwd=place)
        elif target.suffix == ".jpg":
            Image.fromarray(moving_picture(0, 64, 64)).save(target)
        elif target.suffix in (".mp4", ".mkv"):
            result = "result" if any(mark in word for mark in RESULTS) else "film"
            shutil.copy(stock / f"{'trial' if word == 'trial.mkv' else result}.mkv", target)


@pytest.mark.slow
@pytest.mark.parametrize("text", RUN)
def test_a_command_of_the_documentation_works(text, stock, tmp_path):
    words = RUN[text]
    provide(words, stock, tmp_path)
    if words[0] == "join":
        vsrpp("worker", words[1], *range(3), check=0, cwd=tmp_path)
    vsrpp(*words, check=0, cwd=tmp_path)


def test_no_reason_is_left_over():
    for pattern in NOT_RUN:
        assert any(re.search(pattern, text) for text in COMMANDS), pattern
    assert len(RUN) > 20
