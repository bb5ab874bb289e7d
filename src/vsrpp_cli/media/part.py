"""The part of an input that was asked for."""

from fractions import Fraction

from vsrpp_cli.errors import UsageError


def no_frame(path: str, start: Fraction | None, last: Fraction) -> UsageError:
    """Return the error of a part without a frame.

    Args:
        path: of the input.
        start: where the part begins, in seconds.
        last: when the input's last frame is shown, in seconds after its first.
    """
    if start is not None and start > last:
        return UsageError(
            f"{path}: `start={float(start):g}` is after the last frame, at {float(last):.3f} s"
        )
    return UsageError(f"{path}: no frame between `start` and `end`")
