"""Building a network from a weight file.

The architecture and its parameters are derived from the names and shapes of the file's tensors.
"""

import json
import math
import pickle
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vsrpp_cli.errors import CheckpointError
from vsrpp_cli.network.base import VideoNetwork
from vsrpp_cli.network.basicvsr import BasicVSR, RealBasicVSR
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import AnyConfig, BasicVSRConfig, NetworkConfig, SpynetConfig

WRAPPERS = ("params_ema", "params", "state_dict")
"""Keys under which training programs put the table of weights; averaged weights come first."""

PREFIXES = ("module.", "generator_ema.", "generator.")
"""What is put before names: by data-parallel wrappers, then by training objects that hold several
networks, of which averaged weights come first."""

_SHOWN = 3

_OTHERS = (
    (r"^basic_module\.", "SPyNet alone, the flow network"),
    (r"^(edvr|backward_fusion)\.", "IconVSR"),
    (r"^(conv_before_upsample|backward_trunk)\.", "another naming of BasicVSR"),
    (r"^(pcd_align|fusion\.temporal_attn)", "EDVR"),
    (r"\brdb\d?\.", "ESRGAN"),
    (r"relative_position_bias_table$", "a transformer (SwinIR, VRT and the like)"),
)
"""What a foreign name tells about the network it belongs to."""


def load_network(path: Path) -> VideoNetwork:
    """Build the network of a weight file.

    The weights of a float32 file stay memory-mapped: processes that load the same file share them.

    Args:
        path: `.safetensors`, or anything `torch.save` wrote (`.pth`), which is opened with
            `weights_only=True`.

    Returns:
        the network in float32, on the CPU, in evaluation mode, without gradients.

    Raises:
        CheckpointError: the file is damaged, holds more than weights or another architecture, or
            entries are missing, unexpected, of wrong shape or not numbers.
    """
    with _naming(path):
        config, weights = _recognised(path)
        return build(config, weights)


def read_config(path: Path) -> AnyConfig:
    """Return the configuration of a file's network; checks everything but the weights' values.

    Raises:
        CheckpointError: as `load_network`, except for weights that are not numbers.
    """
    with _naming(path):
        config, weights = _recognised(path)
        _check_entries(weights, _empty(config).state_dict())
        return config


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _recognised(path: Path) -> tuple[AnyConfig, dict[str, Tensor]]:
    weights, metadata = read_checkpoint(path)
    config = recognise(weights)
    _check_metadata(metadata, config)
    return config, weights


def _empty(config: AnyConfig) -> VideoNetwork:
    with torch.device("meta"):
        return new_network(config)


def new_network(config: AnyConfig) -> VideoNetwork:
    """Return a network of this configuration with random weights."""
    if isinstance(config, NetworkConfig):
        return BasicVSRPP(config)
    return RealBasicVSR(config) if config.cleaning_blocks else BasicVSR(config)


def build(config: AnyConfig, weights: Mapping[str, Tensor]) -> VideoNetwork:
    """Return the network of `config` with `weights`, which are not copied.

    Args:
        config: the network to build.
        weights: tensors of any float type by canonical name.

    Raises:
        CheckpointError: an entry is missing, unexpected, of wrong shape or not a number.
    """
    network = _empty(config)
    _check_entries(weights, network.state_dict())
    floats = {name: tensor.to(torch.float32) for name, tensor in weights.items()}
    if broken := [name for name, tensor in floats.items() if not _finite(tensor)]:
        raise CheckpointError(f"weights that are not numbers: {_some(broken)}")
    network.load_state_dict(floats, strict=True, assign=True)
    return network.eval().requires_grad_(requires_grad=False)


def _finite(tensor: Tensor) -> bool:
    return tensor.is_meta or bool(torch.isfinite(tensor).all())


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the canonical table of weights in a file, and its metadata.

    Raises:
        CheckpointError: the file cannot be read as weights.
    """
    if not path.is_file():
        raise CheckpointError("no such file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return canonical(_read_pth(path)), {}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return canonical(weights), dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"not a safetensors file, or damaged ({_line(error)})") from error


def _read_pth(path: Path) -> Any:
    try:
        # Only the zip format (torch 1.6 and later) can be mapped into memory.
        mapped = zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error):
            raise CheckpointError(
                "holds Python objects besides weights, which are not loaded for safety: "
                "save its state dict alone"
            ) from error
        # Torch's reason speaks to programmers, of its own options.
        raise CheckpointError("not a file of weights, or damaged") from error
    # A damaged file makes torch raise nearly anything, depending on where the damage is.
    except Exception as error:
        raise CheckpointError(f"not a file of weights, or damaged ({_line(error)})") from error


def _line(error: BaseException) -> str:
    first = str(error).strip().partition("\n")[0]
    return shorten(first, 100, placeholder=" ...") or type(error).__name__


def canonical(checkpoint: Any) -> dict[str, Tensor]:
    """Return the weights by their published names, from what a training program saved.

    Unwraps `state_dict`, `params_ema`, `params`; strips `module.`; of several networks takes
    `generator_ema.` or `generator.`, leaving the others; drops the published `step_counter`.

    Raises:
        CheckpointError: there is no table of tensors in it.
    """
    while isinstance(checkpoint, Mapping):
        inner = next((key for key in WRAPPERS if isinstance(checkpoint.get(key), Mapping)), None)
        if inner is None:
            break
        checkpoint = checkpoint[inner]
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(f"holds a {type(checkpoint).__name__}, not a table of weights")
    table = {str(k): v for k, v in checkpoint.items() if isinstance(v, Tensor)}
    for prefix in PREFIXES:
        inside = {k.removeprefix(prefix): v for k, v in table.items() if k.startswith(prefix)}
        table = inside or table
    table.pop("step_counter", None)
    if not table:
        raise CheckpointError("holds no weights")
    return table


def recognise(state_dict: Mapping[str, Tensor]) -> AnyConfig:
    """Return the configuration of the network that weights belong to.

    Args:
        state_dict: tensors by canonical name; only their shapes are used, so they may be on the
            meta device.

    Raises:
        CheckpointError: it is another architecture, or the entries that identify it are missing.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state_dict.items()}
    if any(name.startswith("deform_align.") for name in shapes):
        return _recognise_basicvsrpp(shapes)
    for prefix in ("basicvsr.", ""):
        if any(name.startswith(f"{prefix}backward_resblocks.") for name in shapes):
            return _recognise_basicvsr(shapes, prefix)
    raise CheckpointError(f"not a checkpoint of a known network: {_other(shapes)}")


def _recognise_basicvsr(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> BasicVSRConfig:
    return BasicVSRConfig(
        channels=_size(shapes, f"{prefix}backward_resblocks.main.0.weight", 0),
        blocks=_count(shapes, f"{prefix}backward_resblocks.main.2"),
        cleaning_blocks=_count(shapes, "image_cleaning.0.main.2") if prefix else 0,
        hr_channels=_size(shapes, f"{prefix}conv_hr.weight", 0),
        spynet=_recognise_spynet(shapes, f"{prefix}spynet.basic_module"),
    )


def _recognise_basicvsrpp(shapes: Mapping[str, tuple[int, ...]]) -> NetworkConfig:
    same_size = "feat_extract.4.main.0.weight" in shapes
    extract = "feat_extract.4.main" if same_size else "feat_extract.main"
    channels = _size(shapes, f"{extract}.0.weight", 0)
    return NetworkConfig(
        channels=channels,
        blocks=_count(shapes, "backbone.backward_1.main.2"),
        same_size=same_size,
        # Two offsets and a mask for each of nine taps and each group.
        deform_groups=_size(shapes, "deform_align.backward_1.conv_offset.6.weight", 0) // 27,
        extract_blocks=_count(shapes, f"{extract}.2"),
        reconstruct_blocks=_count(shapes, "reconstruction.main.2"),
        hr_channels=_size(shapes, "conv_hr.weight", 0),
        spynet=_recognise_spynet(shapes, "spynet.basic_module"),
    )


def _recognise_spynet(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> SpynetConfig:
    convolutions = _count(shapes, f"{prefix}.0.basic_module")
    names = [f"{prefix}.0.basic_module.{i}.conv.weight" for i in range(convolutions)]
    return SpynetConfig(
        levels=_count(shapes, prefix),
        kernel=_size(shapes, f"{prefix}.0.basic_module.0.conv.weight", 3),
        widths=tuple(_size(shapes, name, 0) for name in names[:-1]),
    )


def _size(shapes: Mapping[str, tuple[int, ...]], name: str, dimension: int) -> int:
    shape = shapes.get(name)
    if shape is None:
        raise CheckpointError(f"not a whole checkpoint: {name} is missing")
    if len(shape) != 4 or not math.prod(shape):
        raise CheckpointError(f"{name} has shape {list(shape)}, which no convolution has")
    return shape[dimension]


def _count(shapes: Iterable[str], prefix: str) -> int:
    """Return the number of numbered parts directly below `prefix`: the highest number plus one."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    numbers = [int(match[1]) for name in shapes if (match := pattern.match(name))]
    # A made-up number must not have us build a million blocks.
    if len(set(numbers)) != max(numbers, default=-1) + 1:
        raise CheckpointError(f"gaps in the numbering of {prefix}.*")
    if not numbers:
        raise CheckpointError(f"not a whole checkpoint: {prefix}.* is missing")
    return len(set(numbers))


def _other(names: Iterable[str]) -> str:
    names = list(names)
    for pattern, network in _OTHERS:
        if any(re.search(pattern, name) for name in names):
            return f"its entries look like {network}"
    return f"it holds {_some(names)}"


def _check_entries(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    wrong = [
        f"{name} {list(weights[name].shape)} instead of {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("of wrong shape", wrong))
    if problems := [f"{len(found)} {kind}: {_some(found)}" for kind, found in kinds if found]:
        raise CheckpointError(f"entries do not fit: {'; '.join(problems)}")


def _some(items: list[str]) -> str:
    shown = ", ".join(items[:_SHOWN])
    return shown if len(items) <= _SHOWN else f"{shown} and {len(items) - _SHOWN} more"


def to_metadata(config: AnyConfig) -> dict[str, str]:
    """Return the metadata a `.safetensors` file of this network should carry."""
    return {"config": json.dumps(_described(config))}


def _described(config: AnyConfig) -> dict[str, Any]:
    described = {
        "mid_channels": config.channels,
        "num_blocks": config.blocks,
        "hr_channels": config.hr_channels,
        "flow_channels": list(config.spynet.widths),
        "flow_kernel": config.spynet.kernel,
        "flow_levels": config.spynet.levels,
        "scale": config.scale,
    }
    if isinstance(config, BasicVSRConfig):
        return described | {"num_cleaning_blocks": config.cleaning_blocks}
    return described | {
        "deform_groups": config.deform_groups,
        "extract_blocks": config.extract_blocks,
        "reconstruct_blocks": config.reconstruct_blocks,
        # Not to be seen in the tensors, and the same in every published network.
        "max_residue_magnitude": 10,
    }


def _check_metadata(metadata: Mapping[str, str], config: AnyConfig) -> None:
    """Refuse a file whose metadata contradicts its tensors or names an unsupported network."""
    try:
        stated = json.loads(metadata.get("config", "{}"))
    except ValueError as error:
        raise CheckpointError("its metadata has a config that is not JSON") from error
    known = _described(config)
    stated = stated if isinstance(stated, dict) else {}
    for key in known.keys() & stated.keys():
        if stated[key] != known[key]:
            raise CheckpointError(
                f"its metadata says {key} = {stated[key]}, its weights are for {known[key]}"
            )
