"""Getting models: a real server on loopback that cuts, stalls, lies and goes away."""

import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch
from PIL import Image

from support import server as act
from support.clips import moving_picture, tiny_checkpoint
from support.commands import ENVIRONMENT, assert_one_line, vsrpp
from support.tiny import moving_frames
from vsrpp_cli.api.upscaler import Upscaler
from vsrpp_cli.checkpoints import registry
from vsrpp_cli.checkpoints.cache import cache_root, place_of
from vsrpp_cli.checkpoints.download import (
    is_offline,
    locate,
    resolve,
    resolve_auto,
    resolve_chain,
    verify,
)
from vsrpp_cli.checkpoints.hub import HubFile, parse
from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.checkpoints.registry import ModelRow
from vsrpp_cli.checkpoints.transfer import Patience
from vsrpp_cli.errors import (
    CheckpointError,
    DiskFullError,
    ModelUnavailableError,
    UnknownNameError,
    UsageError,
)
from vsrpp_cli.network.basicvsr import RealBasicVSR
from vsrpp_cli.network.config import NetworkConfig
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.run import upscale

CONTENT = np.random.default_rng(0).bytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FILE = f"model-{DIGEST[:8]}.pth"
QUICK = Patience(timeout=0.5, attempts=2, pause=0.01)


@pytest.fixture
def server():
    running = act.Server()
    running.files = {f"/a/{FILE}": CONTENT, f"/b/{FILE}": CONTENT}
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """A cache of its own for each test, and no trace of the machine's settings."""
    for name in list(os.environ):
        if name.lower().endswith(("_proxy", "_ca_bundle")) or name.startswith(
            ("VSRPP_", "HF_", "SSL_CERT")
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("VSRPP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


def make_row(*mirrors, digest=DIGEST[:8], file=FILE):
    return ModelRow(
        name="test-row",
        file=file,
        digest=digest,
        parameters=75_000,
        mirrors=mirrors,
        config=NetworkConfig(),
        trained_for="tests",
        advice="for tests",
        source="tests",
    )


@pytest.fixture
def row(server, monkeypatch):
    made = make_row(f"{server.base}/a", f"{server.base}/b")
    monkeypatch.setitem(registry.MODELS, made.name, made)
    return made


def fetched(row, **options):
    path = locate(row, patience=QUICK, **options)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir() if not p.name.startswith(".")] == [row.file]
    assert not partial_of(row).exists()
    return path


def partial_of(row):
    return place_of(row).with_name(f".{row.file}.partial")


def nothing_stands(row):
    return not place_of(row).exists()


# --- what goes well ------------------------------------------------------------------------------


def test_download_comes_from_the_first_mirror(server, row):
    fetched(row)
    assert server.requests == [("GET", f"/a/{FILE}", None)]


def test_a_model_in_the_cache_is_not_fetched_again(server, row):
    fetched(row)
    fetched(row)
    assert len(server.requests) == 1


def test_progress_is_reported_with_the_size(row):
    seen = []
    fetched(row, on_progress=seen.append)
    assert seen[0].done == 0
    assert seen[-1].done == seen[-1].total == len(CONTENT)
    assert [p.done for p in seen] == sorted(p.done for p in seen)


def test_the_library_prints_nothing(row, capfd):
    fetched(row)
    assert capfd.readouterr() == ("", "")


# --- what goes wrong on the way ------------------------------------------------------------------


def test_a_cut_transfer_is_resumed(server, row):
    server.acts[f"/a/{FILE}"] = [act.cut(100_000), act.cut(50_000), act.whole]
    fetched(row)
    assert server.ranges(f"/a/{FILE}") == [None, "bytes=100000-", "bytes=150000-"]


def test_many_cuts_do_not_exhaust_patience_while_bytes_come(server, row):
    server.acts[f"/a/{FILE}"] = [*[act.cut(40_000)] * 6, act.whole]
    fetched(row)
    assert not server.ranges(f"/b/{FILE}")


def test_a_server_that_ignores_range_sends_all_again(server, row):
    server.acts[f"/a/{FILE}"] = [act.cut(100_000), act.ignoring_range]
    fetched(row)


def test_a_server_that_sends_another_range_is_asked_anew(server, row):
    server.acts[f"/a/{FILE}"] = [act.cut(100_000), act.wrong_range, act.whole]
    fetched(row)
    assert server.ranges(f"/a/{FILE}") == [None, "bytes=100000-", None]


def test_a_body_without_length_is_whole_if_its_hash_is(server, row):
    server.acts[f"/a/{FILE}"] = [act.unsized]
    fetched(row)


def test_an_interrupted_download_is_gone_on_with_later(server, row):
    server.acts[f"/a/{FILE}"] = [act.cut(123_456), act.status(403)]
    server.acts[f"/b/{FILE}"] = [act.status(404)]
    with pytest.raises(ModelUnavailableError):
        locate(row, patience=QUICK)
    assert nothing_stands(row)
    server.acts.clear()
    fetched(row)
    assert server.ranges(f"/a/{FILE}")[-1] == "bytes=123456-"


def test_a_foreign_partial_file_is_thrown_away(server, row):
    partial_of(row).parent.mkdir(parents=True)
    partial_of(row).write_bytes(bytes(200_000))
    fetched(row)
    assert server.ranges(f"/a/{FILE}") == ["bytes=200000-", None]


@pytest.mark.parametrize("size", [300_000, 300_001, 900_000])
def test_a_partial_file_as_long_as_the_file_or_longer_is_no_trap(size, server, row):
    partial_of(row).parent.mkdir(parents=True)
    partial_of(row).write_bytes(bytes(size))
    fetched(row)


def test_a_whole_partial_file_needs_no_byte_more(server, row):
    partial_of(row).parent.mkdir(parents=True)
    partial_of(row).write_bytes(CONTENT)
    fetched(row)
    assert server.ranges(f"/a/{FILE}") == ["bytes=300000-"]


@pytest.mark.parametrize("code", [404, 403, 410, 500])
def test_the_second_mirror_steps_in(code, server, row):
    server.acts[f"/a/{FILE}"] = [act.status(code)]
    fetched(row)
    assert len(server.ranges(f"/b/{FILE}")) == 1


def test_a_busy_server_is_asked_again(server, row):
    server.acts[f"/a/{FILE}"] = [act.status(503), act.whole]
    fetched(row)
    assert not server.ranges(f"/b/{FILE}")


def test_a_wrong_file_never_gets_the_name(server, row):
    server.acts[f"/a/{FILE}"] = [act.instead(b"an error page")]
    server.acts[f"/b/{FILE}"] = [act.instead(CONTENT[:-1] + b"x")]
    with pytest.raises(ModelUnavailableError, match=f"not with {DIGEST[:8]}"):
        locate(row, patience=QUICK)
    assert nothing_stands(row)
    assert not partial_of(row).exists()


def test_the_second_mirror_makes_up_for_a_wrong_file(server, row):
    server.acts[f"/a/{FILE}"] = [act.instead(b"an error page")]
    fetched(row)


def test_redirects_are_followed_with_the_range(server, row):
    server.acts[f"/a/{FILE}"] = [act.redirect("/elsewhere")]
    server.files["/elsewhere"] = CONTENT
    server.acts["/elsewhere"] = [act.cut(1000), act.whole]
    fetched(row)
    assert server.ranges("/elsewhere") == [None, "bytes=1000-"]


def test_redirects_in_a_circle_end(server, row):
    server.acts[f"/a/{FILE}"] = [act.redirect(f"/a/{FILE}")]
    fetched(row)
    assert len(server.ranges(f"/b/{FILE}")) == 1


def test_a_stalled_server_is_given_up(server, row):
    server.acts[f"/a/{FILE}"] = [act.stall(70_000), act.stall(0)]
    started = time.monotonic()
    fetched(row)
    assert time.monotonic() - started < 10
    assert server.ranges(f"/b/{FILE}") == ["bytes=70000-"]


def test_a_server_that_is_gone_is_an_error_with_the_way_on(row, server):
    server.stop()
    with pytest.raises(ModelUnavailableError) as caught:
        locate(row, patience=QUICK)
    message = str(caught.value)
    assert caught.value.exit_code == 4
    assert "\n" not in message
    for part in (*row.urls, f"models info {row.name}", "`model='compact'`", "refused"):
        assert message.count(part) >= 1
    assert all(message.count(url) == 1 for url in row.urls)


def test_a_name_nobody_resolves_is_an_error():
    with pytest.raises(ModelUnavailableError, match=r"models\.invalid"):
        locate(make_row("http://models.invalid/x"), patience=QUICK)


# --- the cache -----------------------------------------------------------------------------------


def test_a_damaged_file_in_the_cache_is_replaced(row):
    place_of(row).parent.mkdir(parents=True)
    place_of(row).write_bytes(CONTENT[:-1])
    fetched(row)


def test_a_damaged_file_in_the_cache_is_an_error_offline(row):
    place_of(row).parent.mkdir(parents=True)
    place_of(row).write_bytes(CONTENT[:-1])
    with pytest.raises(CheckpointError, match="remove it and run `vsrpp models download test-row`"):
        locate(row, offline=True)


def test_a_file_put_there_by_hand_is_found_offline(row):
    place_of(row).parent.mkdir(parents=True)
    place_of(row).write_bytes(CONTENT)
    assert locate(row, offline=True) == place_of(row)
    assert verify(row) == place_of(row)


def test_a_cache_that_cannot_be_written_is_said(row, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VSRPP_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelUnavailableError, match="VSRPP_CACHE can name another folder"):
        locate(row, patience=QUICK)


def test_the_cache_follows_the_platform(monkeypatch, tmp_path):
    assert cache_root() == tmp_path / "cache"
    monkeypatch.delenv("VSRPP_CACHE")
    assert cache_root() == platformdirs.user_cache_path("vsrpp", appauthor=False)
    if sys.platform.startswith("linux"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache_root() == tmp_path / "xdg" / "vsrpp"


# --- disk full -----------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder):
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("sending", [act.whole, act.unsized], ids=["sized", "unsized"])
def test_a_full_disk_is_said_and_left_with_room(sending, server, row, tmp_path, monkeypatch):
    server.acts[f"/a/{FILE}"] = [sending]
    with small_disk(tmp_path / "disk"):
        monkeypatch.setenv("VSRPP_CACHE", str(tmp_path / "disk"))
        with pytest.raises(DiskFullError, match="VSRPP_CACHE"):
            locate(row, patience=QUICK)
        assert nothing_stands(row)
        assert shutil.disk_usage(tmp_path / "disk").free > 150_000


def test_a_quota_is_a_full_disk(server, row):
    """The same without root: a limit on the size of files, of which the system signals too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(DiskFullError):
            locate(row, patience=QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert nothing_stands(row)


# --- several processes ---------------------------------------------------------------------------

DRIVER = """
import json, sys, urllib.request
from vsrpp_cli.checkpoints import registry
from vsrpp_cli.checkpoints.download import resolve
from vsrpp_cli.network.config import NetworkConfig
spec = json.loads(sys.argv[1])
row = registry.ModelRow(config=NetworkConfig(), **{**spec, "mirrors": tuple(spec["mirrors"])})
registry.MODELS[row.name] = row
if len(sys.argv) > 2:
    urllib.request.urlopen(sys.argv[2]).read()
model = resolve(row.name)
print(model.sha256)
"""


def start_process(row, *args, **env):
    spec = {
        name: getattr(row, name)
        for name in (
            "name", "file", "digest", "parameters", "mirrors", "trained_for", "advice", "source",
        )
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps(spec), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )


def test_two_processes_at_once_do_one_download(server, row):
    both = threading.Barrier(2)

    def hello(handler, _content):
        both.wait(60)
        handler.start(200, 0)

    server.acts["/hello"] = [hello]
    processes = [start_process(row, f"{server.base}/hello") for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (out.strip(), process.returncode) == (DIGEST, 0), err
    assert server.ranges(f"/a/{FILE}") == [None]


def test_a_killed_download_is_resumed_by_the_next_process(server, row):
    server.acts[f"/a/{FILE}"] = [act.stall(200_000), act.whole]
    process = start_process(row)
    deadline = time.monotonic() + 60
    while not partial_of(row).exists() or partial_of(row).stat().st_size < 100_000:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    have = partial_of(row).stat().st_size
    fetched(row)
    assert server.ranges(f"/a/{FILE}") == [None, f"bytes={have}-"]


# --- proxies and certificates --------------------------------------------------------------------


def test_a_proxy_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.base)
    server.files[f"http://models.invalid/{FILE}"] = CONTENT
    fetched(make_row("http://models.invalid"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl program to make a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    command += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def secure(certificate):
    running = act.Server("https")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    running.socket = context.wrap_socket(running.socket, server_side=True)
    running.files = {f"/a/{FILE}": CONTENT}
    yield running
    running.stop()


def test_an_unknown_certificate_is_refused_at_once(secure):
    patient = Patience(timeout=5, attempts=1000, pause=100)
    with pytest.raises(ModelUnavailableError, match="certificate verify failed"):
        locate(make_row(f"{secure.base}/a"), patience=patient)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_custom_certificates_are_respected(variable, secure, certificate, monkeypatch):
    monkeypatch.setenv(variable, str(certificate / "cert.pem"))
    fetched(make_row(f"{secure.base}/a"))


def test_a_redirect_out_of_https_is_refused(secure, server, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    secure.acts[f"/a/{FILE}"] = [act.redirect(f"{server.base}/a/{FILE}")]
    with pytest.raises(ModelUnavailableError, match="from https to http"):
        locate(make_row(f"{secure.base}/a"), patience=QUICK)
    assert not server.requests


# --- offline -------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["VSRPP_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_switches_touch_no_network(variable, server, row, monkeypatch):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ModelUnavailableError, match="offline"):
        locate(row)
    assert not server.requests


def test_offline_by_option(server, row):
    with pytest.raises(ModelUnavailableError, match="offline"):
        resolve("test-row", offline=True)
    assert not server.requests


def test_offline_variables_may_be_off(monkeypatch):
    monkeypatch.setenv("VSRPP_OFFLINE", "0")
    assert not is_offline(option=False)


# --- what --model means --------------------------------------------------------------------------


def test_a_name_resolves_to_its_checked_file(row):
    model = resolve("test-row")
    assert (model.name, model.path, model.sha256, model.row) == (
        "test-row", place_of(row), DIGEST, row,
    )  # fmt: skip


def test_a_path_of_a_published_file_is_recognised_by_its_hash(row, tmp_path):
    (tmp_path / "renamed.pth").write_bytes(CONTENT)
    assert resolve(str(tmp_path / "renamed.pth")).row == row


def test_a_path_of_other_weights_has_no_row(tmp_path):
    (tmp_path / "own.pth").write_bytes(b"weights")
    model = resolve(str(tmp_path / "own.pth"))
    assert (model.name, model.row) == (str(tmp_path / "own.pth"), None)


def test_a_path_that_is_not_there_is_unavailable():
    with pytest.raises(ModelUnavailableError, match="no such file"):
        resolve("nowhere/own.pth")


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(ModelUnavailableError, match="is a folder: give a file of weights in it"):
        resolve(str(tmp_path))


def test_an_unknown_name_is_wrong_usage():
    with pytest.raises(UnknownNameError, match="did you mean reds4"):
        resolve("redds4")


def test_automatic_falls_back_to_the_embedded_model_and_says_so(monkeypatch, server):
    wanted = make_row(f"{server.base}/nowhere")
    monkeypatch.setattr(registry, "automatic_model", lambda _kind, compressed: wanted)
    monkeypatch.setitem(registry.MODELS, "test-row", wanted)
    model = resolve_auto("cuda")
    assert model.name == "compact"
    assert model.note is not None
    assert "instead of test-row" in model.note
    assert resolve_auto("cuda", offline=True).name == "compact"
    assert resolve_auto("cuda", compressed=True, offline=True).name == "compact-web"


def test_automatic_on_a_cpu_needs_no_note():
    assert (resolve_auto("cpu").name, resolve_auto("cpu").note) == ("compact", None)


def test_chains_keep_their_order(row):
    names = [model.name for model in resolve_chain("test-row, compact")]
    assert names == ["test-row", "compact"]
    assert [model.name for model in resolve_chain("auto", device_kind="cpu")] == ["compact"]


def test_a_chain_with_an_unknown_name_fetches_nothing(server, row):
    with pytest.raises(UnknownNameError):
        resolve_chain("test-row,qqqq")
    assert not server.requests


def test_an_empty_name_in_a_chain_is_wrong_usage():
    with pytest.raises(UsageError, match="beside a comma"):
        resolve_chain("compact,")


# --- the whole way -------------------------------------------------------------------------------


def test_a_published_checkpoint_is_downloaded_verified_recognised_loaded_and_used(
    server, tmp_path, monkeypatch
):
    content = tiny_checkpoint(tmp_path / "published.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    published = make_row(f"{server.base}/a", digest=digest[:8], file=f"tiny-{digest[:8]}.pth")
    monkeypatch.setitem(registry.MODELS, published.name, published)
    server.files[f"/a/{published.file}"] = content
    server.acts[f"/a/{published.file}"] = [act.cut(1000), act.whole]
    (tmp_path / "in").mkdir()
    for index in range(2):
        picture = Image.fromarray(moving_picture(index, 32, 24))
        picture.save(tmp_path / "in" / f"{index}.png")
    seen = []
    report = upscale(
        tmp_path / "in",
        tmp_path / "out",
        UpscaleOptions(model="test-row", threads=1),
        on_progress=seen.append,
    )
    assert report.model == "test-row"
    assert verify(published).read_bytes() == content
    assert [p.done for p in seen if p.phase == "download"][-1] == len(content)
    with Image.open(tmp_path / "out" / "1.png") as image:
        assert image.size == (128, 96)


def test_real_basicvsr_goes_the_whole_way_in_its_published_form(server, tmp_path, monkeypatch):
    torch.manual_seed(0)
    table = RealBasicVSR().state_dict()
    assert sum(value.numel() for value in table.values()) == 6_294_840
    state = {f"generator_ema.{name}": value for name, value in table.items()}
    state |= {f"generator.{name}": value.new_zeros(()) for name, value in table.items()}
    torch.save({"meta": {}, "state_dict": state}, tmp_path / "published.pth")
    content = (tmp_path / "published.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:8]
    row = replace(
        registry.lookup("real-basicvsr"),
        mirrors=(f"{server.base}/a",),
        file=f"realbasicvsr-{digest}.pth",
        digest=digest,
    )
    monkeypatch.setitem(registry.MODELS, row.name, row)
    server.files[f"/a/{row.file}"] = content
    path = locate(row, patience=QUICK)
    assert verify(row) == path
    network = load_network(path)
    assert network.config == row.config
    assert all(torch.equal(network.state_dict()[name], value) for name, value in table.items())
    made = list(
        Upscaler("real-basicvsr", device="cpu", precision="fp32").upscale_frames(
            moving_frames(2, 24, 20)
        )
    )
    assert [frame.shape for frame in made] == [(3, 80, 96)] * 2


# --- the hub -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hf:me/models/reds4.pth", HubFile("me/models", "reds4.pth")),
        ("hf:me/models/sub/x.safetensors@v1", HubFile("me/models", "sub/x.safetensors", "v1")),
    ],
)
def test_hub_names_are_parsed(text, wanted):
    assert parse(text) == wanted
    assert str(wanted) == text


@pytest.mark.parametrize("text", ["hf:", "hf:me/models", "hf:/a/b", "hf:me/models/x@"])
def test_wrong_hub_names_are_wrong_usage(text):
    with pytest.raises(UsageError, match="OWNER/REPO/FILE"):
        parse(text)


def hub(server, **more):
    # A process of its own, since the hub's client reads its environment once.
    names = ("HF_HOME", "VSRPP_CACHE", "NO_PROXY")
    ours = {"HF_ENDPOINT": server.base, "HF_HUB_DISABLE_XET": "1", "VSRPP_OFFLINE": ""}
    return {**{name: os.environ[name] for name in names}, **ours, **more}


def test_hub_file_is_fetched_into_the_hubs_cache_and_found_offline(server, tmp_path):
    server.files["/me/models/resolve/v1/sub/x.pth"] = CONTENT
    done = vsrpp("models", "download", "hf:me/models/sub/x.pth@v1", env=hub(server), check=0)
    path = Path(done.stdout.strip().rpartition(": ")[2])
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "hub")
    asked = len(server.requests)
    again = vsrpp(
        "models", "download", "hf:me/models/sub/x.pth@v1",
        env=hub(server, HF_HUB_OFFLINE="1"), check=0,
    )  # fmt: skip
    assert again.stdout == done.stdout
    assert len(server.requests) == asked


def test_hub_file_that_is_not_there_is_unavailable(server):
    done = vsrpp("models", "download", "hf:me/models/x.pth", env=hub(server), check=4)
    assert "no such file" in assert_one_line(done)


UNHURRIED = """
import time
time.sleep = lambda seconds: None
from vsrpp_cli.cli.main import run
run()
"""
"""The command, without the 23 seconds for which the hub's client pauses between its attempts."""


def test_hub_that_is_gone_is_unavailable(server):
    server.stop()
    done = subprocess.run(
        [sys.executable, "-c", UNHURRIED, "models", "download", "hf:me/models/x.pth"],
        env={**ENVIRONMENT, **hub(server)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert "hf:me/models/x.pth cannot be had" in assert_one_line(done)
    assert len(done.stderr.splitlines()) == 1


def test_hub_offline_without_the_file_is_unavailable(server):
    done = vsrpp("models", "download", "--offline", "hf:me/models/x.pth", env=hub(server), check=4)
    assert "offline" in assert_one_line(done)
    assert not server.requests


def test_own_hub_repository_is_the_last_resort(server, row):
    server.acts[f"/a/{FILE}"] = server.acts[f"/b/{FILE}"] = [act.status(404)]
    server.files[f"/me/mirror/resolve/main/{FILE}"] = CONTENT
    process = start_process(row, **hub(server, VSRPP_HF_REPO="me/mirror"))
    out, err = process.communicate(timeout=60)
    assert (out.strip(), process.returncode) == (DIGEST, 0), err
    assert fetched(row) == place_of(row)


def test_own_hub_repository_with_a_wrong_file_gives_it_no_name(server, row):
    server.acts[f"/a/{FILE}"] = server.acts[f"/b/{FILE}"] = [act.status(404)]
    server.files[f"/me/mirror/resolve/main/{FILE}"] = b"something else"
    process = start_process(row, **hub(server, VSRPP_HF_REPO="me/mirror"))
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "its SHA-256 begins with" in err
    assert nothing_stands(row)
