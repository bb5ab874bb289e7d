"""A real HTTP server on loopback that behaves, and misbehaves, as told."""

import hashlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Act = Callable[["Handler", bytes], None]
"""Answers one GET for some content."""


class Server(ThreadingHTTPServer):
    """Serves `files`; each path may have a list of acts, of which the last is repeated."""

    daemon_threads = True

    def __init__(self, scheme="http"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.base = f"{scheme}://127.0.0.1:{self.server_port}"
        self.files = {}
        self.acts = {}
        self.requests = []
        self.closing = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def ranges(self, path):
        """Return the Range headers of all GETs for a path, in order."""
        return [r for method, p, r in self.requests if method == "GET" and p == path]

    def stop(self):
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """Clients that hang up are what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.requests.append(("GET", self.path, self.headers.get("Range")))
        acts = self.server.acts.get(self.path, [])
        act = (acts.pop(0) if len(acts) > 1 else acts[0]) if acts else whole
        content = self.server.files.get(self.path)
        (status(404) if content is None and not acts else act)(self, content or b"")

    def do_HEAD(self):
        """Answer as the hub does: what a file is, without the file."""
        self.server.requests.append(("HEAD", self.path, None))
        content = self.server.files.get(self.path)
        self.send_response(200 if content is not None else 404)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        else:
            self.send_header("X-Repo-Commit", "c" * 40)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()

    def start(self, code, length, **headers):
        self.send_response(code)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


def ranged(handler, content):
    """Return the first byte asked for, having sent the headers for it."""
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    if asked and start >= len(content):
        handler.start(416, 0, Content_Range=f"bytes */{len(content)}")
        return len(content)
    span = f"bytes {start}-{len(content) - 1}/{len(content)}"
    handler.start(206 if asked else 200, len(content) - start, Content_Range=span)
    return start


def whole(handler, content):
    handler.wfile.write(content[ranged(handler, content) :])


def ignoring_range(handler, content):
    handler.start(200, len(content))
    handler.wfile.write(content)


def unsized(handler, content):
    """Send without a length: the end of the connection is the end of the file."""
    handler.close_connection = True
    handler.start(200, None, Connection="close")
    handler.wfile.write(content)


def wrong_range(handler, content):
    handler.start(206, 10, Content_Range=f"bytes 5-14/{len(content)}")
    handler.wfile.write(content[5:15])


def cut(sent):
    """Hang up after `sent` bytes of what was asked for."""

    def act(handler, content):
        start = ranged(handler, content)
        handler.wfile.write(content[start : start + sent])
        handler.close_connection = True

    return act


def stall(sent):
    """Send `sent` bytes, then nothing more."""

    def act(handler, content):
        start = ranged(handler, content)
        handler.wfile.write(content[start : start + sent])
        handler.wfile.flush()
        handler.server.closing.wait(30)
        handler.close_connection = True

    return act


def instead(other):
    """Send other bytes."""
    return lambda handler, _content: whole(handler, other)


def status(code, **headers):
    return lambda handler, _content: handler.start(code, 0, **headers)


def redirect(url):
    return status(302, Location=url)
