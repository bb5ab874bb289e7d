"""The error for a requested part of an input that contains no frame."""

from fractions import Fraction

from vsrpp_cli.errors import UsageError


def no_frame(path: str, start: Fraction | None, last: Fraction) -> UsageError:
    """Return the error for a part without a frame.

    Args:
        path: the input.
        start: `start` of the part in seconds from the first frame; None if it was not given.
        last: time of the input's last frame in seconds from its first.
    """
    if start is not None and start > last:
        return UsageError(
            f"{path}: `start={float(start):g}` is after the last frame, at {float(last):.3f} s"
        )
    return UsageError(f"{path}: no frame between `start` and `end`")
