from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import torch

from support.clips import TINY
from vsrpp_cli.errors import DeviceError, UsageError
from vsrpp_cli.inference.machine.device import (
    available_cores,
    available_devices,
    choose_kernels,
    default_threads,
    device_memory,
    has_fast_bfloat16,
    resolve_device,
    resolve_devices,
    resolve_precision,
)
from vsrpp_cli.inference.machine.memory import default_limit, total_memory
from vsrpp_cli.runs.workers.processes import crew

CPU = torch.device("cpu")


def test_the_cpu_is_always_there():
    assert resolve_device("cpu") == CPU
    assert "cpu" in available_devices()
    assert str(resolve_device("auto")) in available_devices()


def test_a_device_that_is_not_there_is_refused_with_what_is():
    with pytest.raises(DeviceError, match=r"cuda:99.*has cpu"):
        resolve_device("cuda:99")


@pytest.mark.parametrize("text", ["gpu", "cuda:x", "cpu:", "", "cpu:0:1", "cuda:-1"])
def test_what_is_no_device_is_wrong_usage(text):
    with pytest.raises(UsageError):
        resolve_device(text)


def test_bfloat16_is_chosen_only_where_the_cpu_has_it(monkeypatch):
    assert resolve_precision("auto", CPU) == ("bf16" if has_fast_bfloat16() else "fp32")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert resolve_precision("auto", CPU) == "fp32"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    assert resolve_precision("auto", CPU) == "fp32"


def test_a_precision_asked_for_is_taken():
    assert [resolve_precision(p, CPU) for p in ("fp32", "fp16", "bf16")] == ["fp32", "fp16", "bf16"]
    with pytest.raises(UsageError, match="fp8"):
        resolve_precision("fp8", CPU)


@pytest.mark.parametrize(
    ("able", "precision", "kernels"),
    [
        ({"avx2", "fma3"}, "fp32", "winograd"),
        ({"avx2", "fma3"}, "bf16", "winograd"),
        ({"avx2"}, "fp32", "fused"),
        ({"avx2", "fma3", "avx512_f", "avx512_bf16"}, "bf16", "winograd"),
        ({"avx2", "fma3", "avx512_f", "amx_bf16"}, "bf16", "fused"),
        ({"avx2", "fma3", "avx512_f", "amx_bf16"}, "fp32", "winograd"),
        ({"avx2", "fma3"}, "fp16", "library"),
        ({"neon"}, "fp32", "fused"),
    ],
)
def test_kernels_suit_the_processor(monkeypatch, able, precision, kernels):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(able, True))
    assert choose_kernels(CPU, precision, replace(TINY, channels=16, hr_channels=32)) == kernels
    assert choose_kernels(CPU, precision, replace(TINY, channels=8)) == "library"


def test_this_process_may_use_a_core_and_some_memory():
    assert default_threads() >= 1
    assert 1 << 28 < default_limit() < total_memory()


def _groups(root, groups):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)


def test_memory_is_that_of_the_machine_without_a_limit(tmp_path):
    _groups(tmp_path, "0::/user\n")
    (tmp_path / "sys/fs/cgroup/user").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/user/memory.max").write_text("max\n")
    assert total_memory(tmp_path) == psutil.virtual_memory().total


def test_a_limit_of_a_group_or_of_one_above_it_is_honoured(tmp_path):
    _groups(tmp_path, "0::/pod/one\n")
    (tmp_path / "sys/fs/cgroup/pod/one").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/pod/memory.max").write_text("3000000000\n")
    (tmp_path / "sys/fs/cgroup/pod/one/memory.max").write_text("max\n")
    assert total_memory(tmp_path) == 3_000_000_000


def test_limits_of_the_first_version_of_control_groups_are_honoured(tmp_path):
    _groups(tmp_path, "4:memory:/box\n1:cpu:/\n")
    folder = tmp_path / "sys/fs/cgroup/memory"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("2000000000\n")
    assert total_memory(tmp_path) == 2_000_000_000
    (folder / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert total_memory(tmp_path) == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/pod\n", {"pod/cpu.max": "max 100000"}, 16),
        ("0::/pod\n", {"pod/cpu.max": "300000 100000"}, 3),
        ("0::/pod/one\n", {"pod/cpu.max": "200000 100000", "pod/one/cpu.max": "max 100000"}, 2),
        ("0::/pod\n", {"pod/cpu.max": "20000 100000"}, 1),
        ("0::/not/seen/inside\n", {"cpu.max": "250000 50000"}, 5),
        (
            "2:cpu,cpuacct:/box\n",
            {"cpu/box/cpu.cfs_quota_us": "400000", "cpu/box/cpu.cfs_period_us": "100000"},
            4,
        ),
        (
            "2:cpu,cpuacct:/box\n",
            {"cpu/box/cpu.cfs_quota_us": "-1", "cpu/box/cpu.cfs_period_us": "100000"},
            16,
        ),
    ],
)
def test_cores_honour_a_containers_quota(tmp_path, monkeypatch, groups, files, cores):
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    _groups(tmp_path, groups)
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert available_cores(tmp_path) == cores


def test_cores_honour_affinity(monkeypatch, tmp_path):
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 3, 5}, raising=False)
    assert available_cores(tmp_path) == 3


@pytest.fixture
def four_gpus(monkeypatch):
    """Let torch see four GPUs, the third of which has less memory than the others."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    sizes = {0: 24 << 30, 1: 24 << 30, 2: 8 << 30, 3: 24 << 30}
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: SimpleNamespace(total_memory=sizes[torch.device(device).index]),
    )


@pytest.mark.parametrize(
    ("text", "indices"),
    [("auto", [0, 1, 2, 3]), ("cuda", [0, 1, 2, 3]), ("cuda:2", [2]), ("cuda:0,cuda:2", [0, 2])],
)
def test_a_run_spreads_over_the_gpus_there_are_or_those_named(four_gpus, text, indices):
    assert resolve_devices(text) == tuple(torch.device("cuda", k) for k in indices)


@pytest.mark.parametrize("text", ["cuda:0,cuda:0", "cuda:0,cpu", "cuda:0,", "cuda,cuda:1,gpu"])
def test_lists_of_devices_that_make_no_sense_are_refused(four_gpus, text):
    with pytest.raises(UsageError):
        resolve_devices(text)


def test_a_device_of_a_list_that_is_not_there_is_named(four_gpus):
    with pytest.raises(DeviceError, match="cuda:7"):
        resolve_devices("cuda:0,cuda:7")


def test_workers_share_the_memory_of_the_smallest_gpu(four_gpus):
    devices = resolve_devices("auto")
    assert device_memory(devices[0]) == int((24 << 30) * 0.85)
    assert device_memory(*devices, workers=4) == int((8 << 30) * 0.85)
    assert device_memory(*devices, workers=5) == int((8 << 30) * 0.85) // 2
    assert device_memory(CPU, workers=3) is None


@pytest.mark.parametrize(
    ("text", "workers", "expected"),
    [
        ("auto", 4, [("cuda:0", 2), ("cuda:1", 2), ("cuda:2", 2), ("cuda:3", 2)]),
        ("cuda:0,cuda:2", 3, [("cuda:0", 2), ("cuda:2", 2), ("cuda:0", 2)]),
        ("cpu", 2, [("cpu", 4), ("cpu", 4)]),
        ("cpu", 16, [("cpu", 1)] * 16),
    ],
)
def test_each_worker_has_a_device_and_its_share_of_the_cores(four_gpus, text, workers, expected):
    places = crew(resolve_devices(text), workers, threads=8)
    assert [(place.device, place.threads) for place in places] == expected
