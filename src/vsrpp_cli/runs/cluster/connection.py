"""The connection to a Ray cluster for as long as a run needs it."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vsrpp_cli.errors import DeviceError, UsageError
from vsrpp_cli.inference.machine.device import available_cores

LOCAL = "ray"
"""Means a cluster on this machine, for the run only."""

KNOCK = 10.0
"""Seconds to wait for an answer from an address."""

INSTALL = "Ray is not installed: pip install 'vsrpp-cli[ray]'"

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing about a run is told to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray warns of a change to come unless it is set
}


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Yield the module `ray`, connected; a connection of the caller's own is used and left.

    Args:
        address: `ray` for a cluster on this machine for the time being, `auto` for the one that
            runs on this machine or that `RAY_ADDRESS` names, `HOST:PORT`, or `ray://HOST:PORT`.

    Raises:
        UsageError: Ray is not installed.
        DeviceError: there is no such cluster, or it refuses.
    """
    with _same_signal_handlers():
        ray = _ray()
        own = not ray.is_initialized()
        if own:
            _connect(ray, address)
    try:
        yield ray
    finally:
        if own:
            ray.shutdown()


def _ray() -> Any:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise UsageError(INSTALL) from error
    return ray


def _connect(ray: Any, address: str) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        _knock(os.environ.get("RAY_ADDRESS", address) if address == "auto" else address)
        if address == LOCAL:
            ray.init("local", num_cpus=available_cores(), include_dashboard=False, **quiet)
        else:
            ray.init(address, **quiet)
    except Exception as error:  # a plain one is what Ray raises when a node starts too slowly
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DeviceError(f"`cluster={address!r}`: cannot connect: {reason}") from error


def _knock(address: str) -> None:
    """See that somebody listens at an address: Ray waits a minute, and may then end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK).close()


@contextmanager
def _same_signal_handlers() -> Iterator[None]:
    """Undo what importing and starting Ray does to signals, whose meaning is the caller's to give.

    Handlers can be set in the main thread only, where Ray does it, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # set from outside Python
                signal.signal(number, handler)
