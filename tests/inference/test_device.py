import pytest
import torch

from vsrpp_cli.errors import DeviceError, UsageError
from vsrpp_cli.inference.device import (
    available_devices,
    default_threads,
    has_fast_bfloat16,
    resolve_device,
    resolve_precision,
)
from vsrpp_cli.inference.memory import default_limit, total_memory

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


def test_this_process_may_use_a_core_and_some_memory():
    assert default_threads() >= 1
    assert 1 << 28 < default_limit() < total_memory()


def _machine(root, kilobytes, groups):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: {kilobytes} kB\nMemFree: 1 kB\n")
    (root / "proc/self/cgroup").write_text(groups)


def test_memory_is_that_of_the_machine_without_a_limit(tmp_path):
    _machine(tmp_path, 8 << 20, "0::/user\n")
    (tmp_path / "sys/fs/cgroup/user").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/user/memory.max").write_text("max\n")
    assert total_memory(tmp_path) == 8 << 30


def test_a_limit_of_a_group_or_of_one_above_it_is_honoured(tmp_path):
    _machine(tmp_path, 8 << 20, "0::/pod/one\n")
    (tmp_path / "sys/fs/cgroup/pod/one").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/pod/memory.max").write_text("3000000000\n")
    (tmp_path / "sys/fs/cgroup/pod/one/memory.max").write_text("max\n")
    assert total_memory(tmp_path) == 3_000_000_000


def test_limits_of_the_first_version_of_control_groups_are_honoured(tmp_path):
    _machine(tmp_path, 8 << 20, "4:memory:/box\n1:cpu:/\n")
    folder = tmp_path / "sys/fs/cgroup/memory"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("2000000000\n")
    assert total_memory(tmp_path) == 2_000_000_000
    (folder / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert total_memory(tmp_path) == 8 << 30
