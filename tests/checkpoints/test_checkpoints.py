"""Registry rows, recognition of checkpoints, and strict loading."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from support import real_basicvsr as real
from support.benchmarks import script
from support.places import DATA, ROOT
from vsrpp_cli.checkpoints import registry
from vsrpp_cli.checkpoints.cache import place_of, sha256_of
from vsrpp_cli.checkpoints.load import (
    _line,
    build,
    canonical,
    load_network,
    read_config,
    recognise,
    to_metadata,
)
from vsrpp_cli.errors import CheckpointError, UnknownNameError
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import AnyConfig, BasicVSRConfig, NetworkConfig, SpynetConfig

SHAPES = json.loads((DATA / "golden/parameter_shapes.json").read_text()) | real.SHAPES
TINY = NetworkConfig(
    channels=8,
    blocks=1,
    deform_groups=2,
    extract_blocks=1,
    reconstruct_blocks=1,
    hr_channels=8,
    spynet=SpynetConfig(levels=2, kernel=3, widths=(4, 4)),
)


def meta_weights(table: str) -> dict[str, Tensor]:
    shapes = SHAPES[table]["shapes"]
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.fixture
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return BasicVSRPP(TINY).state_dict()


def write(path: Path, content: Any) -> Path:
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_network(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


# --- registry ------------------------------------------------------------------------------------


def test_every_published_model_has_a_row() -> None:
    assert set(registry.available_models()) == {
        "compact", "compact-web", "reds4", "vimeo90k-bi", "vimeo90k-bd", "ntire-vsr",
        "ntire-decompress-1", "ntire-decompress-2", "ntire-decompress-3", "deblur-dvd",
        "deblur-gopro", "denoise", "real-basicvsr", "real-basicvsr-psnr",
    }  # fmt: skip


@pytest.mark.parametrize("row", registry.MODELS.values(), ids=lambda row: row.name)
def test_rows_are_consistent(row: registry.ModelRow) -> None:
    assert row.embedded or row.file.endswith(f"-{row.digest}.pth")
    assert all(url.startswith("https://") for url in row.urls)
    assert row.frame_cap > 2 * row.overlap
    assert row.minimum == 64 * row.multiple_of
    assert row.licence == "Apache-2.0"


def test_names_of_rows_are_never_ambiguous() -> None:
    names = [name.lower() for row in registry.MODELS.values() for name in row.long_names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("bi", "vimeo90k-bi"),
        ("REDS4", "reds4"),
        ("basicvsr_plusplus_c64n7_8x1_600k_reds4", "reds4"),
        ("basicvsr_plusplus_c64n7_4x2_300k_vimeo90k_bd", "vimeo90k-bd"),
        ("basicvsr_plusplus_c128n25_ntire_decompress_track3", "ntire-decompress-3"),
        ("basicvsr_plusplus_denoise-28f6920c.pth", "denoise"),
    ],
)
def test_models_are_found_by_alias_and_published_name(name: str, model: str) -> None:
    assert registry.lookup(name).name == model


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean reds4"):
        registry.lookup("red4")
    with pytest.raises(UnknownNameError, match="did you mean ntire-decompress-3"):
        registry.lookup("ntire-decompres-3")


def test_unknown_name_like_nothing_says_where_all_are() -> None:
    with pytest.raises(UnknownNameError, match=r"`vsrpp models list` shows all.*hf:OWNER"):
        registry.lookup("qqqq")


def test_automatic_model_follows_the_device() -> None:
    assert registry.automatic_model("cuda").name == "reds4"
    assert registry.automatic_model("cpu").name == "compact"
    assert registry.automatic_model("something new").name == "compact"


def test_automatic_model_follows_the_material() -> None:
    assert registry.automatic_model("cpu", compressed=True).name == "compact-web"
    assert registry.automatic_model("cuda", compressed=True).name == "real-basicvsr"
    assert registry.embedded_model(compressed=True).name == "compact-web"
    for device in ("cpu", "cuda", "mps"):
        rows = [row for row in registry.MODELS.values() if device in row.automatic_on]
        for material in get_args(registry.Material):
            assert any(material in row.automatic_for for row in rows)


def test_advice_names_models_that_exist() -> None:
    for _, models in registry.MATERIALS:
        for name in models.split(","):
            registry.lookup(name)


def test_registry_needs_no_torch() -> None:
    script = (
        "import sys, vsrpp_cli.checkpoints.download, vsrpp_cli.cli.commands.models; "
        "sys.exit('torch' in sys.modules or 'huggingface_hub' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


# --- the embedded model --------------------------------------------------------------------------


EMBEDDED = [row for row in registry.MODELS.values() if row.embedded]


def test_embedded_models_are_small() -> None:
    assert sum(place_of(row).stat().st_size for row in EMBEDDED) <= 8_000_000


@pytest.mark.parametrize("row", EMBEDDED, ids=lambda row: row.name)
def test_embedded_models_are_the_files_their_rows_describe(row: registry.ModelRow) -> None:
    path = place_of(row)
    assert sha256_of(path).startswith(row.digest), f"its digest is {sha256_of(path)[:8]}"
    assert read_config(path) == row.config
    assert sum(p.numel() for p in load_network(path).parameters()) == row.parameters


def test_weights_are_shipped_in_half_precision_with_their_digest(tmp_path: Path) -> None:
    row = registry.lookup("compact-web")
    table = tmp_path / "registry.py"
    shutil.copy(registry.__file__, table)
    network = load_network(place_of(row))
    with torch.no_grad():
        network.conv_last.bias += 0.125
    save_file(network.state_dict(), tmp_path / "run.safetensors", to_metadata(row.config))
    digest = script("ship_weights").ship(
        tmp_path / "run.safetensors", row, tmp_path / "new.safetensors", table
    )
    assert sha256_of(tmp_path / "new.safetensors").startswith(digest)
    assert digest in table.read_text()
    assert row.digest not in table.read_text()
    shipped = load_network(tmp_path / "new.safetensors")
    assert shipped.config == row.config
    assert torch.equal(shipped.conv_last.bias, network.conv_last.bias.half().float())
    assert (tmp_path / "new.safetensors").stat().st_size < 3e6


def test_network_is_ready_for_inference() -> None:
    network = load_network(place_of(registry.embedded_model()))
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert {p.dtype for p in network.parameters()} == {torch.float32}


# --- recognition ---------------------------------------------------------------------------------


@pytest.mark.parametrize("table", SHAPES)
def test_published_tables_load_strictly_into_what_is_recognised(table: str) -> None:
    weights = meta_weights(table)
    config = recognise(weights)
    stated = SHAPES[table]
    assert (config.channels, config.blocks, config.same_size) == (
        stated["mid_channels"],
        stated["num_blocks"],
        not stated.get("is_low_res_input", True),
    )
    network = build(config, weights)
    assert sum(p.numel() for p in network.parameters()) == stated["parameters"]


@pytest.mark.parametrize(
    "row", [r for r in registry.MODELS.values() if not r.embedded], ids=lambda row: row.name
)
def test_rows_describe_a_published_table(row: registry.ModelRow) -> None:
    assert recognise(meta_weights(published_table(row.config))) == row.config
    assert SHAPES[published_table(row.config)]["parameters"] == row.parameters


def published_table(config: AnyConfig) -> str:
    if isinstance(config, BasicVSRConfig):
        return f"real-basicvsr-c{config.channels}b{config.blocks}"
    return f"c{config.channels}n{config.blocks}{'-same-size' if config.same_size else ''}"


def test_plain_basicvsr_is_recognised_and_loads_strictly(tmp_path: Path) -> None:
    network = load_network(write(tmp_path / "basicvsr.pth", real.plain_table()))
    assert network.config == replace(real.config_of(real.SMALL, 5 / 255), cleaning_blocks=0)
    assert set(network.state_dict()) == set(real.plain_table())


def test_a_description_of_another_cleaning_is_refused(tmp_path: Path) -> None:
    config = real.config_of(real.SMALL)
    path = tmp_path / "model.safetensors"
    save_file(real.small_weights(), path, metadata=to_metadata(config))
    assert load_network(path).config.channels == config.channels
    save_file(real.small_weights(), path, metadata=to_metadata(replace(config, cleaning_blocks=9)))
    assert "num_cleaning_blocks = 9" in refusal(path)


def test_other_widths_are_recognised(weights: dict[str, Tensor]) -> None:
    assert recognise(weights) == TINY


WRAPPINGS = {
    "bare": lambda w: w,
    "published": lambda w: {
        "meta": {"epoch": 1},
        "state_dict": {**{f"generator.{k}": v for k, v in w.items()}, "step_counter": zero()},
    },
    "params": lambda w: {"params": w},
    "params_ema": lambda w: {"params": {k: v + 1 for k, v in w.items()}, "params_ema": w},
    "module": lambda w: {"state_dict": {f"module.{k}": v for k, v in w.items()}},
    "module.generator": lambda w: {f"module.generator.{k}": v for k, v in w.items()},
    "generator_ema": lambda w: {
        **{f"generator.{k}": v + 1 for k, v in w.items()},
        **{f"generator_ema.{k}": v for k, v in w.items()},
        "discriminator.weight": zero(),
    },
}


def zero() -> Tensor:
    return torch.zeros(1)


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrapped_checkpoints_load(
    wrapping: str, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    path = write(tmp_path / "model.pth", WRAPPINGS[wrapping](weights))
    loaded = load_network(path)
    assert loaded.config == TINY
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in weights.items())


def test_safetensors_load(weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(weights, path, metadata=to_metadata(TINY))
    assert load_network(path).config == TINY


def test_files_before_torch_1_6_load(weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save(weights, path, _use_new_zipfile_serialization=False)
    assert load_network(path).config == TINY


def test_half_precision_files_become_float32(weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = write(tmp_path / "half.pth", {k: v.half() for k, v in weights.items()})
    assert load_network(path).dtype == torch.float32


def test_reading_the_configuration_checks_the_entries(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    del weights["conv_last.bias"]
    with pytest.raises(CheckpointError, match=r"1 missing: conv_last\.bias"):
        read_config(write(tmp_path / "model.pth", weights))


# --- what does not load --------------------------------------------------------------------------


def test_wrong_entries_are_named_and_counted(weights: dict[str, Tensor], tmp_path: Path) -> None:
    for name in list(weights):
        if name.startswith("deform_align.forward_2.conv_offset"):
            del weights[name]
    weights["surplus.weight"] = zero()
    weights["conv_last.weight"] = torch.zeros(3, 9, 3, 3)
    message = refusal(write(tmp_path / "model.pth", weights))
    assert "8 missing: deform_align.forward_2.conv_offset.0.weight" in message
    assert "and 5 more" in message
    assert "1 unexpected: surplus.weight" in message
    assert "1 of wrong shape: conv_last.weight [3, 9, 3, 3] instead of [3, 8, 3, 3]" in message


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("RRDB_trunk.0.rdb1.conv1.weight", "ESRGAN"),
        ("basic_module.0.basic_module.0.conv.weight", "SPyNet alone"),
        ("backward_trunk.main.0.weight", "another naming of BasicVSR"),
        ("some.thing", "it holds some.thing"),
    ],
)
def test_other_architectures_are_recognised(name: str, architecture: str, tmp_path: Path) -> None:
    message = refusal(write(tmp_path / "other.pth", {name: torch.zeros(4, 4, 3, 3)}))
    assert "not a checkpoint of a known network" in message
    assert architecture in message


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    assert "Python objects" in refusal(write(tmp_path / "trap.pth", {"state_dict": Trap()}))
    assert not (tmp_path / "sprung").exists()


def test_weights_that_are_not_numbers_are_refused(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    weights["conv_hr.weight"][0, 0, 0, 0] = torch.nan
    assert "not numbers: conv_hr.weight" in refusal(write(tmp_path / "nan.pth", weights))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 10, 1000, 0.5, 0.99])
def test_truncated_files_are_damaged(
    suffix: str, kept: float, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    path = write(tmp_path / f"model{suffix}", weights)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_text_is_no_checkpoint(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"page{suffix}"
    path.write_text("<!DOCTYPE html><title>404 Not Found</title>" * 50)
    said = refusal(path)
    assert "damaged" in said
    assert "PyTorch" not in said


@pytest.mark.parametrize("words", ["wrong", "word " * 50, ""])
def test_reasons_are_cut_between_words(words: str) -> None:
    said = _line(ValueError(words))
    assert len(said) <= 100
    assert {*said.split()} <= {*words.split(), "...", "ValueError"}


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, {"epoch": 3}, [zero()], zero()])
def test_files_without_a_table_of_weights_are_refused(content: Any) -> None:
    with pytest.raises(CheckpointError, match="holds"):
        canonical(content)


def test_missing_file_is_said(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "nothing.pth")


def test_gaps_in_the_numbering_are_refused(weights: dict[str, Tensor]) -> None:
    weights["backbone.backward_1.main.2.999999999.conv1.weight"] = zero()
    with pytest.raises(CheckpointError, match="gaps in the numbering"):
        recognise(weights)


def test_metadata_that_contradicts_the_weights_is_refused(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    config = json.dumps({**json.loads(to_metadata(TINY)["config"]), "max_residue_magnitude": 5})
    save_file(weights, path, metadata={"config": config})
    assert "max_residue_magnitude = 5" in refusal(path)


def test_loading_a_network_does_not_load_torchs_compiler():
    code = (
        "import sys; from pathlib import Path; from vsrpp_cli.checkpoints.load import load_network;"
        "load_network(Path(sys.argv[1])); sys.exit('torch._dynamo' in sys.modules)"
    )
    weights = ROOT / "weights" / "compact-x4.safetensors"
    subprocess.run([sys.executable, "-c", code, str(weights)], check=True)
