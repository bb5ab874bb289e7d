"""Frames as callers have them: NumPy arrays, tensors of PyTorch and images of Pillow.

What comes out is of the kind that went in: the same class, type of numbers, order of axes, device.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsrpp_cli.errors import InputError
from vsrpp_cli.inference.window import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

Frame = TypeVar("Frame", bound="NDArray[Any] | Tensor | Image")

TOLERANCE = 1e-3
"""How far floats may be outside [0, 1], because of rounding."""


@dataclass(frozen=True)
class Kind:
    """What all frames of one call have in common, and how they are read and made."""

    name: str
    """A description for messages: everything that must be equal for all frames."""
    size: tuple[int, int]
    """Height and width."""
    read: Callable[[Any], Picture] = field(compare=False)
    """Convert a frame to what an engine takes: (3, H, W), float32, RGB in [0, 1]."""
    write: Callable[[Picture], Any] = field(compare=False)
    """Convert such a picture to a frame of the input's kind."""


def kind_of(frame: object) -> Kind:
    """Return the kind of a frame.

    Raises:
        InputError: it is no picture in RGB, or of a class or type of numbers that is not known.
    """
    if isinstance(frame, np.ndarray):
        return _array_kind(frame)
    if isinstance(frame, Tensor):
        return _tensor_kind(frame)
    # Whoever gives an image of Pillow has imported it, and nobody else need have it.
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(frame, pillow.Image):
        return _image_kind(frame)
    raise InputError(
        f"a frame is of class {type(frame).__module__}.{type(frame).__name__}: "
        "must be a NumPy array, a tensor of PyTorch or an image of Pillow"
    )


def _array_kind(frame: NDArray[Any]) -> Kind:
    name = f"array of {frame.dtype} and shape {frame.shape}"
    if frame.dtype != np.uint8 and frame.dtype.kind != "f":
        raise InputError(f"a frame is an {name}: must be uint8 in 0..255 or floats in 0..1")
    return _kind(name, frame.shape, frame.dtype)


def _tensor_kind(frame: Tensor) -> Kind:
    dtype, device, shape = frame.dtype, frame.device, tuple(frame.shape)
    name = f"tensor of {dtype} and shape {shape} on {device}"
    if dtype != torch.uint8 and not dtype.is_floating_point:
        raise InputError(f"a frame is a {name}: must be uint8 in 0..255 or floats in 0..1")
    # NumPy has no bfloat16; float32 holds all of the short types.
    plain = dtype if dtype == torch.uint8 else torch.float32
    arrays = _kind(name, shape, np.dtype(np.uint8 if dtype == torch.uint8 else np.float32))
    return replace(
        arrays,
        read=lambda given: arrays.read(given.detach().to("cpu", plain).numpy()),
        write=lambda picture: torch.from_numpy(arrays.write(picture)).to(device, dtype),
    )


def _image_kind(frame: "Image") -> Kind:
    from PIL.Image import fromarray  # noqa: PLC0415  it is there: see above

    name = f"image of mode {frame.mode} and {frame.width}x{frame.height} pixels"
    if frame.mode != "RGB":
        raise InputError(f"a frame is an {name}: must be RGB, as image.convert('RGB') makes it")
    arrays = _kind(name, (frame.height, frame.width, 3), np.dtype(np.uint8))
    return replace(
        arrays,
        read=lambda given: arrays.read(np.asarray(given)),
        write=lambda picture: fromarray(arrays.write(picture)),
    )


def _kind(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Kind:
    """Return the kind of arrays of a shape and a type of numbers."""
    if len(shape) != 3 or 3 not in (shape[0], shape[2]) or 0 in shape:
        raise InputError(f"a frame is of shape {shape}: must be RGB, (H, W, 3) or (3, H, W)")
    last = shape[2] == 3  # also of a picture that has three lines
    whole = dtype == np.uint8

    def read(given: NDArray[Any]) -> Picture:
        picture = np.ascontiguousarray(given.transpose(2, 0, 1) if last else given, np.float32)
        return picture / np.float32(255) if whole else _checked(picture)

    def write(picture: Picture) -> NDArray[Any]:
        made = np.rint(picture * 255) if whole else picture
        made = made.astype(dtype, copy=False)
        return np.ascontiguousarray(made.transpose(1, 2, 0)) if last else made

    return Kind(name, shape[:2] if last else shape[1:], read, write)


def _checked(picture: Picture) -> Picture:
    """Return a picture of floats if they are in [0, 1]."""
    low, high = float(picture.min()), float(picture.max())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):  # also where they are not numbers
        raise InputError(
            f"a frame of floats has values from {low:g} to {high:g}: must be in 0..1; "
            "divide what is in 0..255 by 255, and clip what goes beyond"
        )
    return picture
