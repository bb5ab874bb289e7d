"""The connection to a Ray cluster while a run needs it."""

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
"""The address that means a cluster on this machine, for this run only."""

KNOCK = 10.0
"""Seconds to wait for an answer from an address."""

INSTALL = "Ray is not installed: pip install 'vsrpp-cli[ray]'"

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # send no usage statistics
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray warns of a change to come unless it is set
}


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Yield the module `ray`, connected; an existing connection is used and left open.

    Args:
        address: `ray` for a temporary cluster on this machine, `auto` for the one that runs on this
            machine or that `RAY_ADDRESS` names, `HOST:PORT`, or `ray://HOST:PORT`.

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
    """Check that an address accepts connections: Ray would wait a minute, then may exit."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK).close()


@contextmanager
def _same_signal_handlers() -> Iterator[None]:
    """Restore the caller's signal handlers, which importing and starting Ray replaces.

    Handlers can only be set in the main thread; elsewhere Ray does not replace them either.
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
