"""Frozen dataclasses to JSON values and back, for plans, journals and reports.

Supports str, int, float, bool, None, `Fraction`, `Literal` of strings, tuples, dicts with string
keys, unions with None, and other dataclasses.
"""

import dataclasses
import json
import math
import re
import types
import typing
from fractions import Fraction
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Return `value` as something `json.dumps` takes; the inverse of `from_json`."""
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if dataclasses.is_dataclass(value):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        # Lists of plain numbers (half a million timestamps) are passed through in one step.
        return list(value) if _plain(value) else [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value


def finite(data: Any) -> Any:
    """Return JSON values with null instead of infinities and NaN."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


_CONTROLS = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""The control characters that JSON does not escape by itself."""


def to_bytes(value: Any, *, indent: int | None = None) -> bytes:
    """Return `value` as JSON in UTF-8, on one line unless `indent` is given.

    Bytes of file names that are not UTF-8 are lone surrogates in Python; they are written escaped
    and read back unchanged. Control characters are escaped, too, as a terminal that shows the file
    would interpret them.
    """
    layout: Any = {"indent": indent} if indent else {"separators": (",", ":")}
    text = json.dumps(value, ensure_ascii=False, **layout)
    text = _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _plain(items: typing.Sequence[Any]) -> bool:
    return bool(items) and isinstance(items[0], int | str) and set(map(type, items)) <= {int, str}


def from_json(kind: type[T], data: Any) -> T:
    """Return the record of type `kind` that `to_json` made `data` from.

    Raises:
        ValueError: `data` is not of that shape: a field is missing, unknown or of another type.
    """
    try:
        result: T = _parse(kind, data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a {kind.__name__} record: {error}") from error
    return result


@cache
def _fields(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def _parse(kind: Any, data: Any, place: str = "") -> Any:
    """Return `data` as a value of type `kind`; `place` names the field, with those around it."""
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        if data is None:
            return None
        (kind,) = (arg for arg in typing.get_args(kind) if arg is not types.NoneType)
        return _parse(kind, data, place)
    if origin is typing.Literal:
        return _word(typing.get_args(kind), data, place)
    if origin is tuple:
        return _tuple(typing.get_args(kind), data, place)
    if origin is dict:
        value_kind = typing.get_args(kind)[1]
        return {key: _parse(value_kind, item, place) for key, item in data.items()}
    if kind is Fraction:
        return Fraction(data)
    if kind is float:
        return float(data)
    if dataclasses.is_dataclass(kind):
        return _record(typing.cast("type", kind), data, place)
    if kind is not Any and not isinstance(data, kind):
        raise ValueError(f"{place or 'it'} is {data!r}, not a value of type {kind.__name__}")
    return data


def _word(words: tuple[Any, ...], data: Any, place: str) -> Any:
    if data not in words:
        raise ValueError(f"{place} is {data!r}, but must be one of {', '.join(map(str, words))}")
    return data


def _tuple(kinds: tuple[Any, ...], data: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise TypeError(f"{place} is {data!r}, not a list")
    if kinds[-1] is not Ellipsis:
        return tuple(_parse(kind, item, place) for kind, item in zip(kinds, data, strict=True))
    if kinds[0] in (int, str):  # half a million timestamps, in one step
        return tuple(data)
    return tuple(_parse(kinds[0], item, place) for item in data)


def _record(kind: type, data: Any, place: str) -> Any:
    known = _fields(kind)
    inside = f"{place}." if place else ""
    if unknown := sorted(set(data) - set(known)):
        names = ", ".join(inside + name for name in unknown)
        raise ValueError(f"unknown: {names}; known here: {', '.join(known)}")
    return kind(**{name: _parse(known[name], v, inside + name) for name, v in data.items()})
