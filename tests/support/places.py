"""Where things are: the checkout, the tests' own data, the example, the shared data beside."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
DATA = TESTS / "data"
EXAMPLE = ROOT / "examples" / "chickens.mp4"
SHARED = Path(os.environ.get("VSRPP_SHARED", ROOT.parent / "shared"))
