"""vsrpp: video super-resolution with BasicVSR++.

The Python API, loaded when first touched so that `import vsrpp_cli` stays cheap:

    upscale(input, output, options)   one whole run, as `vsrpp upscale` does it
    UpscaleOptions                    its options
    Upscaler(model, ...)              a loaded model; `upscale_frames(frames)` yields frames
    available_models()                the names `--model` knows
"""

from importlib import import_module
from typing import Any

from vsrpp_cli.version import __version__

_HOMES = {
    "UpscaleOptions": "vsrpp_cli.options",
    "Upscaler": "vsrpp_cli.inference.upscaler",
    "available_models": "vsrpp_cli.checkpoints.registry",
    "upscale": "vsrpp_cli.runs.run",
}

__all__ = ["UpscaleOptions", "Upscaler", "__version__", "available_models", "upscale"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
