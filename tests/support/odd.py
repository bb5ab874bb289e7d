"""The collection of odd files, which is not part of the repository."""

from support.places import SHARED

ODD = SHARED / "data" / "odd"
