"""Streams through real pipes, in this process or between processes."""

import io
import os
import subprocess
import threading
from contextlib import contextmanager, redirect_stderr

from support.commands import ENVIRONMENT, VSRPP
from vsrpp_cli.cli.main import execute
from vsrpp_cli.media.decode.streamed import StreamSource
from vsrpp_cli.media.pipes import InputPipe
from vsrpp_cli.options import UpscaleOptions


class Fed:
    """The reading end of a pipe into which bytes go; `name` can be opened."""

    def __init__(self, data):
        self._reading, self._writing = os.pipe()
        self.name = f"/dev/fd/{self._reading}"
        self._thread = threading.Thread(target=self._feed, args=(data,))

    def _feed(self, data):
        try:
            with os.fdopen(self._writing, "wb") as file:
                file.write(data)
        except BrokenPipeError:
            pass

    def __enter__(self):
        self._thread.start()
        return self.name

    def __exit__(self, *_):
        os.close(self._reading)
        self._thread.join()


def read_stream(data, options=None):
    """Return a source that has been read, its frames, and whether its end was torn."""
    with Fed(data) as name, InputPipe(name, lambda: False) as pipe:
        source = StreamSource(pipe, "fed", options or UpscaleOptions())
        frames = [item.frame for item in source.frames()]
        source.close()
        return source, frames


def ffmpeg(*args, given=None):
    """Return what ffmpeg writes to its output `-`."""
    command = ["ffmpeg", "-v", "error", *map(str, args)]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def streaming(*args, **pipes):
    """Start `vsrpp upscale`; as other programs in a pipeline, it is there to be killed or fed."""
    command = [VSRPP, "upscale", *map(str, args)]
    return subprocess.Popen(command, env=ENVIRONMENT, **pipes)


def piped(*args, given=b""):
    """Run `vsrpp upscale` here, with bytes on standard input; return it as a finished process."""
    said = io.StringIO()
    with Fed(given) as name, Drained() as sink:
        source = os.open(name, os.O_RDONLY)
        with _descriptors(source, sink.writing), redirect_stderr(said):
            code = execute(["upscale", *map(str, args)])
        os.close(source)
    return subprocess.CompletedProcess(args, code, sink.data, said.getvalue())


@contextmanager
def _descriptors(source, sink):
    """Put two pipes in place of standard input and output."""
    saved = os.dup(0), os.dup(1)
    os.dup2(source, 0)
    os.dup2(sink, 1)
    try:
        yield
    finally:
        for number, descriptor in enumerate(saved):
            os.dup2(descriptor, number)
            os.close(descriptor)


class Drained:
    """The writing end of a pipe from which all is read."""

    def __enter__(self):
        self._reading, self.writing = os.pipe()
        self.data = b""
        self._thread = threading.Thread(target=self._drain)
        self._thread.start()
        return self

    def _drain(self):
        with os.fdopen(self._reading, "rb") as file:
            self.data = file.read()

    def __exit__(self, *_):
        os.close(self.writing)
        self._thread.join()
