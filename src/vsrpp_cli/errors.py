"""Every error this project raises on purpose, and the exit code each one becomes.

    VsrppError                     1   the run failed
    ├── RunError                   1
    │   ├── GuardError                 a result was black or not a number, twice
    │   ├── EncoderError               an encoder or muxer refused or failed
    │   └── WorkerError                a worker died or lost its driver
    ├── UsageError                 2   wrong usage
    │   ├── UnknownNameError           a model, codec or option value nobody knows
    │   ├── OutputExistsError          OUTPUT is there and -y is not
    │   ├── ResumeRefusedError         input, model or options changed since the interruption
    │   ├── WorkFolderBusyError        another run holds the work folder
    │   └── DeviceError                the device asked for is not there
    ├── InputError                 3   the input cannot be read or is of no supported kind
    ├── ModelError                 4
    │   ├── ModelUnavailableError      not in the cache and not to be had
    │   └── CheckpointError            the file is damaged or of another architecture
    ├── ResourceError              5
    │   ├── OutOfMemoryError           even the smallest geometry does not fit
    │   └── DiskFullError              no room for work folder or output
    ├── FidelityError              6
    │   ├── VerificationError          the finished file is not what the plan says
    │   │   └── PictureError           its pictures are missing or damaged
    │   └── StrictError                --strict, and something would be lost
    ├── BatchError                 7   some items of a batch failed
    ├── Interrupted              130   stopped by Ctrl-C; can be resumed
    ├── Terminated               143   stopped by SIGTERM; can be resumed
    └── PipeClosed               141   whoever read our standard output went away

Messages are one line: what went wrong, with which value, and what to do about it.
Errors of other libraries are mapped to these where they are first met.
"""

from typing import ClassVar


class VsrppError(Exception):
    """Base of all errors raised on purpose."""

    exit_code: ClassVar[int] = 1

    report: object | None = None
    """The report of the run that failed; None if none had begun."""


class RunError(VsrppError):
    """The run failed while it was under way."""


class GuardError(RunError):
    """A chunk came out black or not a number, also when recomputed in float32."""


class EncoderError(RunError):
    """An encoder or muxer refused its settings or failed."""


class WorkerError(RunError):
    """A worker died, or lost the run it belonged to."""


class UsageError(VsrppError):
    """The options or arguments are invalid, or not possible here."""

    exit_code = 2


class UnknownNameError(UsageError):
    """An unknown name of a model, codec or the like."""


class OutputExistsError(UsageError):
    """The output exists and overwriting was not asked for."""


class ResumeRefusedError(UsageError):
    """Interrupted work cannot be resumed: input, model or options have changed."""


class WorkFolderBusyError(UsageError):
    """Another process is working in the work folder."""


class DeviceError(UsageError):
    """The requested device does not exist."""


class InputError(VsrppError):
    """The input cannot be read, or its kind is not supported."""

    exit_code = 3


class ModelError(VsrppError):
    """The model is unavailable, or its file is invalid."""

    exit_code = 4


class ModelUnavailableError(ModelError):
    """The model's file is missing and cannot be downloaded."""


class CheckpointError(ModelError):
    """The weight file is damaged, or of an unsupported architecture."""


class ResourceError(VsrppError):
    """Not enough memory or disk."""

    exit_code = 5


class OutOfMemoryError(ResourceError):
    """Even the smallest chunks and tiles do not fit into memory."""


class DiskFullError(ResourceError):
    """The disk has too little space for the work folder or the output."""


class FidelityError(VsrppError):
    """The output would not be, or is not, what was requested."""

    exit_code = 6


class VerificationError(FidelityError):
    """The finished file differs from the plan."""


class PictureError(VerificationError):
    """Pictures of the finished file are missing, damaged or of another size."""


class StrictError(FidelityError):
    """Something of the source would be lost, and `strict` is set."""


class BatchError(VsrppError):
    """Some items of a batch failed."""

    exit_code = 7


class Interrupted(VsrppError):  # noqa: N818 - not a failure
    """Stopped by Ctrl-C after committing what was done."""

    exit_code = 130


class Terminated(VsrppError):  # noqa: N818 - not a failure
    """Stopped by SIGTERM after committing what was done."""

    exit_code = 143


class PipeClosed(VsrppError):  # noqa: N818 - not a failure
    """The reader of the output pipe closed it."""

    exit_code = 141
