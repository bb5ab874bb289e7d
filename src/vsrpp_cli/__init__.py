"""vsrpp: video super-resolution with BasicVSR++.

The Python API, loaded when first touched so that `import vsrpp_cli` stays cheap:

    upscale(input, output, options)   one whole run, as `vsrpp upscale` does it
    UpscaleOptions                    its options
    Report, Progress, StopToken       what a run did, how far it is, how to stop it
    Upscaler(model, ...)              a loaded model: `upscale_frames(frames)`, `upscale_video(...)`
    available_models()                the names that models have
    VsrppError and its kinds          see `vsrpp_cli.errors` for the whole tree
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vsrpp_cli.version import __version__

if TYPE_CHECKING:
    from vsrpp_cli.api.run import upscale
    from vsrpp_cli.api.upscaler import Upscaler
    from vsrpp_cli.checkpoints.registry import available_models
    from vsrpp_cli.errors import (
        FidelityError,
        InputError,
        Interrupted,
        ModelError,
        ResourceError,
        RunError,
        UsageError,
        VsrppError,
    )
    from vsrpp_cli.options import UpscaleOptions
    from vsrpp_cli.runs.progress import Progress
    from vsrpp_cli.runs.report import Report
    from vsrpp_cli.runs.stop import StopToken
else:
    _HOMES = {
        "FidelityError": "vsrpp_cli.errors",
        "InputError": "vsrpp_cli.errors",
        "Interrupted": "vsrpp_cli.errors",
        "ModelError": "vsrpp_cli.errors",
        "Progress": "vsrpp_cli.runs.progress",
        "Report": "vsrpp_cli.runs.report",
        "ResourceError": "vsrpp_cli.errors",
        "RunError": "vsrpp_cli.errors",
        "StopToken": "vsrpp_cli.runs.stop",
        "UpscaleOptions": "vsrpp_cli.options",
        "Upscaler": "vsrpp_cli.api.upscaler",
        "UsageError": "vsrpp_cli.errors",
        "VsrppError": "vsrpp_cli.errors",
        "available_models": "vsrpp_cli.checkpoints.registry",
        "upscale": "vsrpp_cli.api.run",
    }

    # Type checkers do not see this: to them a name that is not in the list above is a mistake.
    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)

    def __dir__() -> list[str]:
        return sorted([*globals(), *_HOMES])


__all__ = [
    "FidelityError",
    "InputError",
    "Interrupted",
    "ModelError",
    "Progress",
    "Report",
    "ResourceError",
    "RunError",
    "StopToken",
    "UpscaleOptions",
    "Upscaler",
    "UsageError",
    "VsrppError",
    "__version__",
    "available_models",
    "upscale",
]
