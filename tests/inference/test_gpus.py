"""Why there is no GPU, on machines that are made of files."""

import pytest
import torch

from vsrpp_cli.inference.machine.gpus import why_no_gpu

GPU, NETWORK_CARD = ("0x10de\n", "0x030000\n"), ("0x10de\n", "0x020000\n")

without_gpu = pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU"
)


def machine(root, *devices, driver=False, node=False):
    bus = root / "sys/bus/pci/devices"
    bus.mkdir(parents=True)
    for index, (vendor, kind) in enumerate(devices):
        (bus / f"0000:00:{index:02}.0").mkdir()
        (bus / f"0000:00:{index:02}.0/vendor").write_text(vendor)
        (bus / f"0000:00:{index:02}.0/class").write_text(kind)
    if driver:
        (root / "proc/driver/nvidia").mkdir(parents=True)
        (root / "proc/driver/nvidia/version").touch()
    if node:
        (root / "dev").mkdir()
        (root / "dev/nvidia0").touch()
    return root


@without_gpu
@pytest.mark.parametrize(
    ("devices", "facts", "said"),
    [
        ([], {}, "no NVIDIA GPU on the PCI bus"),
        ([NETWORK_CARD], {}, "no NVIDIA GPU on the PCI bus"),
        ([NETWORK_CARD, GPU], {}, "its driver is not loaded"),
        ([GPU], {"driver": True}, "no /dev/nvidia0: start the container with --gpus all"),
        ([GPU], {"driver": True, "node": True}, "PyTorch"),
    ],
)
def test_the_first_reason_is_what_is_missing(devices, facts, said, tmp_path):
    assert said in why_no_gpu(machine(tmp_path, *devices, **facts), {})[0]


@without_gpu
def test_the_last_reason_is_pytorchs_own():
    assert torch.__version__ in why_no_gpu()[-1]


@without_gpu
@pytest.mark.parametrize("value", ["", "-1"])
def test_an_environment_that_hides_gpus_is_named(value, tmp_path):
    found = why_no_gpu(machine(tmp_path, GPU), {"CUDA_VISIBLE_DEVICES": value})
    assert found[0].startswith(f"CUDA_VISIBLE_DEVICES={value} ")
    assert "hides" not in why_no_gpu(tmp_path, {"CUDA_VISIBLE_DEVICES": "0"})[0]
