"""The collection of odd files, which is not part of the repository."""

import os
from pathlib import Path

SHARED = Path(os.environ.get("VSRPP_SHARED", Path(__file__).parents[3] / "shared"))
ODD = SHARED / "data" / "odd"
