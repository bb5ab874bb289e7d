"""Train an included model on a GPU within a given number of minutes.

Usage: python benchmarks/gpu_training.py pack small.pack --pack FULL [--recipe compact]
       python benchmarks/gpu_training.py train small.pack -o RUN --minutes 25 [--recipe compact]

`pack`, on a machine with the training material, writes a part of it of at most --megabytes.
`train`, on the machine with the GPU, needs no internet connection, only this checkout, torch,
torchvision, numpy, numba and safetensors (and PyAV for compact-web, whose clips are compressed). It
begins with the shipped weights, trains at the recipe's learning rate, and lowers the rate over the
last part of the time, in as many steps as fit. It writes the averaged weights, a record, its
curves, and a summary into the folder RUN. After an interruption the same command continues.
benchmarks/ship_weights.py puts the weights into the package, once they are measured. `--device cpu`
works, too, slowly.
"""

import argparse
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]  # this checkout, installed or not

from vsrpp_cli.errors import UsageError, VsrppError  # noqa: E402

NEEDED = ("torch", "torchvision", "numpy", "numba", "safetensors")
NEEDED_TO_PACK = (*NEEDED, "av")
MOST_MINUTES = 60 * 24 * 7
PARTS = {
    "pack": ("gpu_training_pack", "pack", NEEDED_TO_PACK),
    "train": ("gpu_training_run", "train", NEEDED),
}
"""Module, function and required modules of each command."""


def check_modules(names: tuple[str, ...]) -> None:
    """Raise UsageError if a module is missing."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise UsageError(f"not installed here: {', '.join(missing)}")


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Return the command and its options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("pack", help="write the small pack")
    made.add_argument("file", type=Path)
    made.add_argument("--pack", type=Path, help="folder of the whole pack, made where it is not")
    made.add_argument("--data", type=Path, action="append", default=[], help="as of vsrpp train")
    made.add_argument("--stills", type=Path, action="append", default=[], help="likewise")
    made.add_argument("--recipe", default="compact", help="name or file")
    made.add_argument("--megabytes", type=float, default=60)
    made.add_argument("--seed", type=int, default=0)
    run = commands.add_parser("train", help="train from a small pack")
    run.add_argument("file", type=Path)
    run.add_argument("-o", "--output", type=Path, required=True)
    run.add_argument("--minutes", type=minutes, required=True, help="in all, from the start")
    run.add_argument("--recipe", default="compact", help="name or file")
    run.add_argument("--from", type=Path, dest="start", help="weights  [default: those shipped]")
    run.add_argument("--decay", type=share, default=0.4, help="share of the time  [default: 0.4]")
    run.add_argument("--batch", type=count, help="clips a step  [default: the recipe's]")
    run.add_argument("--rate", type=float, help="of learning  [default: the recipe's]")
    run.add_argument("--device", default="cuda:0")
    run.add_argument("--row-every", type=count, default=50)
    return parser.parse_args(arguments)


def minutes(text: str) -> float:
    """Return a number of minutes."""
    value = float(text)
    if not 0 < value <= MOST_MINUTES:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most {MOST_MINUTES}: {text}")
    return value


def share(text: str) -> float:
    """Return a share of the time."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1: {text}")
    return value


def count(text: str) -> int:
    """Return a number of things."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1: {text}")
    return value


def main(arguments: list[str] | None = None) -> int:
    """Run a command; print errors in one line."""
    given = parsed(arguments)
    module, function, needed = PARTS[given.command]
    try:
        check_modules(needed)
        getattr(import_module(module), function)(given)
    except VsrppError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
