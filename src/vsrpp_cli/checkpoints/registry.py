"""The table of models that can be given by name. Does not import torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, get_args

from vsrpp_cli.errors import UnknownNameError
from vsrpp_cli.network.config import AnyConfig, BasicVSRConfig, NetworkConfig, SpynetConfig

OPENMMLAB = "https://download.openmmlab.com/mmediting/restorers/basicvsr_plusplus"
REAL_BASICVSR = "https://download.openmmlab.com/mmediting/restorers/real_basicvsr"
HOLYWU = "https://github.com/HolyWu/vs-basicvsrpp/releases/download/model"

PAPER = "arXiv 2104.13371 (CVPR 2022)"
FOLLOW_UP = "arXiv 2204.05308"
REAL_PAPER = "arXiv 2111.12704 (CVPR 2022)"

DEFAULT_FRAME_CAP = 100
"""`ModelRow.frame_cap` of checkpoints that are not in the registry."""
DEFAULT_OVERLAP = 8
"""`ModelRow.overlap` of checkpoints that are not in the registry."""


Material = Literal["clean", "compressed"]
"""Kinds of sources that the model `auto` distinguishes."""


Compared = Literal["RGB", "Y"]

DeviceKind = Literal["cpu", "cuda", "mps"]
"""torch's names of device types."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A published result of a model on a test set."""

    dataset: str
    psnr: float
    """dB."""
    ssim: float
    on: Compared
    """The channels compared."""


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """A model that can be given by name."""

    name: str
    aliases: tuple[str, ...] = ()
    """Other names, the published long ones among them."""
    file: str
    """Name of the file of weights, in the cache and on the mirrors."""
    digest: str
    """First hex digits of the file's SHA-256."""
    parameters: int
    """Number of parameters."""
    mirrors: tuple[str, ...] = ()
    """URLs of folders with the file, tried in this order; empty for embedded models."""
    config: AnyConfig
    """Configuration of the network; loading derives it again from the tensors."""
    trained_for: str
    """The material it was trained for, in a few words."""
    advice: str
    """When to use it, in plain words."""
    source: str
    """Publication or origin of the weights."""
    licence: str = "Apache-2.0"
    scores: tuple[Score, ...] = ()
    frame_cap: int = DEFAULT_FRAME_CAP
    """The largest chunk planned by default, in frames: longer ones hardly improve the result."""
    overlap: int = DEFAULT_OVERLAP
    """Default number of context frames on each side of a chunk."""
    automatic_on: tuple[DeviceKind, ...] = ()
    """Device types on which `auto` may choose this model."""
    automatic_for: tuple[Material, ...] = get_args(Material)
    """Material for which `auto` chooses it there."""

    @property
    def embedded(self) -> bool:
        """Whether the file comes with the package."""
        return not self.mirrors

    @property
    def urls(self) -> tuple[str, ...]:
        """URLs of the file, tried in this order."""
        return tuple(f"{mirror}/{self.file}" for mirror in self.mirrors)

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return self.config.scale

    @property
    def multiple_of(self) -> int:
        """Width and height of frames are padded to multiples of this, in pixels."""
        return self.config.multiple_of

    @property
    def minimum(self) -> int:
        """Width and height of frames are padded to at least this, in pixels."""
        return self.config.minimum

    @property
    def approximate_bytes(self) -> int:
        """Size of the file, within a percent or two; embedded files have half precision."""
        return (2 if self.embedded else 4) * self.parameters

    @property
    def long_names(self) -> tuple[str, ...]:
        """Every name `lookup` takes for this row, its file's included."""
        return (self.name, *self.aliases, self.file, self.file.rpartition(".")[0])


def _table(*rows: tuple[str, float, float, Compared]) -> tuple[Score, ...]:
    return tuple(Score(dataset=d, psnr=p, ssim=s, on=on) for d, p, s, on in rows)


def _scores(psnr: tuple[float, ...], ssim: tuple[float, ...]) -> tuple[Score, ...]:
    datasets: tuple[tuple[str, Compared], ...] = (
        ("REDS4, BI", "RGB"),
        ("Vimeo-90K-T, BI", "Y"),
        ("Vid4, BI", "Y"),
        ("UDM10, BD", "Y"),
        ("Vimeo-90K-T, BD", "Y"),
        ("Vid4, BD", "Y"),
    )
    triples = zip(datasets, psnr, ssim, strict=True)
    return _table(*((dataset, p, s, on) for (dataset, on), p, s in triples))


_STANDARD = NetworkConfig(channels=64, blocks=7)
_NTIRE = NetworkConfig(channels=128, blocks=25)
_NTIRE_SAME = NetworkConfig(channels=128, blocks=25, same_size=True)
_FOLLOW_UP = NetworkConfig(channels=64, blocks=15, same_size=True)
_COMPACT = NetworkConfig(
    channels=32,
    blocks=4,
    deform_groups=8,
    extract_blocks=2,
    reconstruct_blocks=2,
    hr_channels=32,
    spynet=SpynetConfig(levels=5, kernel=5, widths=(16, 32, 16, 8)),
)

_ROWS = (
    ModelRow(
        name="compact",
        file="compact-x4.safetensors",
        digest="9c45cad6",
        parameters=1_305_413,
        config=_COMPACT,
        trained_for="clean video made smaller with bicubic filtering (BI)",
        advice="Small and quick, comes with the package: for CPUs, trials and machines without "
        "network. Several times faster than the published models, and less sharp.",
        source="trained by this project on openly licensed video",
        frame_cap=60,
        automatic_on=("cpu",),
        automatic_for=("clean",),
    ),
    ModelRow(
        name="compact-web",
        file="compact-web-x4.safetensors",
        digest="9d666cdd",
        parameters=1_305_413,
        config=_COMPACT,
        trained_for="compressed video: H.264 and its like, once or twice",
        advice="The built-in model for what most people have: web video, phone clips, DVDs. It "
        "draws clean edges where compact sharpens blocks and ringing.",
        source="trained by this project on openly licensed video",
        frame_cap=60,
        automatic_on=("cpu",),
        automatic_for=("compressed",),
    ),
    ModelRow(
        name="reds4",
        aliases=("reds", "basicvsr_plusplus_c64n7_8x1_600k_reds4", "basicvsr_plusplus_reds4"),
        file="basicvsr_plusplus_c64n7_8x1_600k_reds4_20210217-db622b2f.pth",
        digest="db622b2f",
        parameters=7_322_927,
        mirrors=(OPENMMLAB, HOLYWU),
        config=_STANDARD,
        trained_for="video made smaller with bicubic filtering (BI), REDS: moving cameras, streets",
        advice="The best choice for most video when there is a GPU: real camera motion, clean "
        "frames.",
        source=PAPER,
        scores=_scores(
            (32.3855, 36.4445, 27.7674, 34.6868, 34.0372, 24.6209),
            (0.9069, 0.9411, 0.8444, 0.9417, 0.9244, 0.7540),
        ),
        automatic_on=("cuda", "mps"),
    ),
    ModelRow(
        name="vimeo90k-bi",
        aliases=(
            "bi",
            "basicvsr_plusplus_c64n7_8x1_300k_vimeo90k_bi",
            "basicvsr_plusplus_c64n7_4x2_300k_vimeo90k_bi",
            "basicvsr_plusplus_vimeo90k_bi",
        ),
        file="basicvsr_plusplus_c64n7_8x1_300k_vimeo90k_bi_20210305-4ef437e2.pth",
        digest="4ef437e2",
        parameters=7_322_927,
        mirrors=(OPENMMLAB, HOLYWU),
        config=_STANDARD,
        trained_for="video made smaller with bicubic filtering (BI), Vimeo-90K: short web clips",
        advice="For calm shots that an editor or converter made smaller; close to reds4, which "
        "handles large motion better.",
        source=PAPER,
        scores=_scores(
            (31.0126, 37.7864, 27.7882, 33.1211, 33.8972, 23.6086),
            (0.8804, 0.9500, 0.8401, 0.9270, 0.9195, 0.7033),
        ),
    ),
    ModelRow(
        name="vimeo90k-bd",
        aliases=(
            "bd",
            "basicvsr_plusplus_c64n7_8x1_300k_vimeo90k_bd",
            "basicvsr_plusplus_c64n7_4x2_300k_vimeo90k_bd",
            "basicvsr_plusplus_vimeo90k_bd",
        ),
        file="basicvsr_plusplus_c64n7_8x1_300k_vimeo90k_bd_20210305-ab315ab1.pth",
        digest="ab315ab1",
        parameters=7_322_927,
        mirrors=(OPENMMLAB, HOLYWU),
        config=_STANDARD,
        trained_for="blurred, then every fourth pixel taken (BD), Vimeo-90K",
        advice="For soft, slightly out-of-focus video without compression artefacts. On sharp "
        "input it puts halos around edges.",
        source=PAPER,
        scores=_scores(
            (29.2041, 34.7248, 26.4377, 40.7216, 38.2054, 29.0400),
            (0.8528, 0.9351, 0.8074, 0.9722, 0.9550, 0.8753),
        ),
    ),
    ModelRow(
        name="ntire-vsr",
        aliases=("basicvsr_plusplus_c128n25_ntire_vsr",),
        file="basicvsr_plusplus_c128n25_ntire_vsr_20210311-1ff35292.pth",
        digest="1ff35292",
        parameters=43_780_463,
        mirrors=(OPENMMLAB, HOLYWU),
        config=_NTIRE,
        trained_for="video made smaller with bicubic filtering (BI), NTIRE 2021 super-resolution",
        advice="Like reds4 and larger: about ten times the work for the last bit of detail.",
        source=f"{PAPER}, NTIRE 2021 challenge",
    ),
    ModelRow(
        name="ntire-decompress-1",
        aliases=(
            "basicvsr_plusplus_c128n25_ntire_decompress_track1",
            "basicvsr_plusplus_ntire_decompress_track1",
        ),
        file="basicvsr_plusplus_c128n25_ntire_decompress_track1_20210223-7b2eba02.pth",
        digest="7b2eba02",
        parameters=44_075_631,
        mirrors=(OPENMMLAB, HOLYWU),
        config=_NTIRE_SAME,
        trained_for="heavily compressed video at constant quality, NTIRE 2021 track 1",
        advice="Cleans blocky video at its own size and stays true to the source: use it alone or "
        "in front of a 4x model. Track 1 is HEVC at one fixed quality.",
        source=f"{PAPER}, NTIRE 2021 challenge",
    ),
    ModelRow(
        name="ntire-decompress-2",
        aliases=(
            "basicvsr_plusplus_c128n25_ntire_decompress_track2",
            "basicvsr_plusplus_ntire_decompress_track2",
        ),
        file="basicvsr_plusplus_c128n25_ntire_decompress_track2_20210314-eeae05e6.pth",
        digest="eeae05e6",
        parameters=44_075_631,
        mirrors=(OPENMMLAB, HOLYWU),
        config=_NTIRE_SAME,
        trained_for="heavily compressed video at constant quality, for looks, NTIRE 2021 track 2",
        advice="As track 1, trained to look pleasant instead of to measure well: invents texture.",
        source=f"{PAPER}, NTIRE 2021 challenge",
    ),
    ModelRow(
        name="ntire-decompress-3",
        aliases=(
            "basicvsr_plusplus_c128n25_ntire_decompress_track3",
            "basicvsr_plusplus_ntire_decompress_track3",
        ),
        file="basicvsr_plusplus_c128n25_ntire_decompress_track3_20210304-6daf4a40.pth",
        digest="6daf4a40",
        parameters=44_075_631,
        mirrors=(OPENMMLAB, HOLYWU),
        config=_NTIRE_SAME,
        trained_for="video compressed to a fixed bit rate, NTIRE 2021 track 3",
        advice="Cleans streamed or downloaded video, whose quality goes up and down with a fixed "
        "bit rate, at its own size: the one to put in front of a 4x model for web video.",
        source=f"{PAPER}, NTIRE 2021 challenge",
    ),
    ModelRow(
        name="deblur-dvd",
        aliases=("basicvsr_plusplus_deblur_dvd",),
        file="basicvsr_plusplus_deblur_dvd-ecd08b7f.pth",
        digest="ecd08b7f",
        parameters=9_760_175,
        mirrors=(HOLYWU,),
        config=_FOLLOW_UP,
        trained_for="motion blur, DVD data set: hand-held cameras and phones",
        advice="Takes motion blur out of hand-held video at its own size.",
        source=FOLLOW_UP,
    ),
    ModelRow(
        name="deblur-gopro",
        aliases=("basicvsr_plusplus_deblur_gopro",),
        file="basicvsr_plusplus_deblur_gopro-3c5bb9b5.pth",
        digest="3c5bb9b5",
        parameters=9_760_175,
        mirrors=(HOLYWU,),
        config=_FOLLOW_UP,
        trained_for="motion blur, GoPro data set: action cameras",
        advice="Takes the stronger motion blur out of action-camera video at its own size.",
        source=FOLLOW_UP,
    ),
    ModelRow(
        name="denoise",
        aliases=("basicvsr_plusplus_denoise",),
        file="basicvsr_plusplus_denoise-28f6920c.pth",
        digest="28f6920c",
        parameters=9_760_175,
        mirrors=(HOLYWU,),
        config=_FOLLOW_UP,
        trained_for="sensor noise (Gaussian)",
        advice="Takes grain and sensor noise out of video at its own size.",
        source=FOLLOW_UP,
    ),
    ModelRow(
        name="real-basicvsr",
        aliases=("realbasicvsr", "realbasicvsr_c64b20_1x30x8_lr5e-5_150k_reds"),
        file="realbasicvsr_c64b20_1x30x8_lr5e-5_150k_reds_20211104-52f77c2c.pth",
        digest="52f77c2c",
        parameters=6_294_834,
        mirrors=(REAL_BASICVSR,),
        config=BasicVSRConfig(),
        trained_for="real footage: blur, noise and compression mixed at random, REDS",
        advice="Cleans and enlarges what cameras and the web deliver, for looks: invents texture "
        "that was not there.",
        source=REAL_PAPER,
        automatic_on=("cuda", "mps"),
        automatic_for=("compressed",),
    ),
    ModelRow(
        name="real-basicvsr-psnr",
        aliases=("realbasicvsr_wogan_c64b20_2x30x8_lr1e-4_300k_reds",),
        file="realbasicvsr_wogan_c64b20_2x30x8_lr1e-4_300k_reds_20211027-0e2ff207.pth",
        digest="0e2ff207",
        parameters=6_294_834,
        mirrors=(REAL_BASICVSR,),
        config=BasicVSRConfig(),
        trained_for="as real-basicvsr, before its adversarial training",
        advice="As real-basicvsr, true to the source instead of pleasant: softer, nothing "
        "invented.",
        source=REAL_PAPER,
    ),
)

MATERIALS: tuple[tuple[str, str], ...] = (
    ("clean video that was made smaller, or a sharp camera at low resolution", "reds4"),
    ("the same, on a computer without a GPU, or just a first try", "compact"),
    ("web video, phone clips, DVDs, on a computer without a GPU", "compact-web"),
    ("the same, calm shots: faces, interviews, tripods", "vimeo90k-bi"),
    ("soft but clean video: a little out of focus, old lenses, scanned film", "vimeo90k-bd"),
    ("web video, streams, messenger clips: blocks and smeared detail", "ntire-decompress-3,reds4"),
    ("the same, encoded at one fixed, low quality (HEVC, CRF)", "ntire-decompress-1,reds4"),
    ("grainy or noisy, dark scenes", "denoise,reds4"),
    ("motion blur, hand-held camera", "deblur-dvd,reds4"),
    ("motion blur, action camera", "deblur-gopro,reds4"),
    ("clean video, and time does not matter (ten times slower)", "ntire-vsr"),
    ("the size is fine, only the compression is ugly", "ntire-decompress-3"),
)
"""Kinds of footage, and the value of the option `model` for each."""

MODELS: dict[str, ModelRow] = {row.name: row for row in _ROWS}
"""Rows by name, in the order they are shown."""


def available_models() -> tuple[str, ...]:
    """Return the names of all models, the embedded ones first."""
    return tuple(MODELS)


def embedded_model(*, compressed: bool = False) -> ModelRow:
    """Return the row of the embedded model for clean or compressed material."""
    return _for_material((row for row in MODELS.values() if row.embedded), compressed)


def automatic_model(device_kind: str, *, compressed: bool = False) -> ModelRow:
    """Return the model that `auto` chooses.

    Args:
        device_kind: `cpu`, `cuda` or `mps`.
        compressed: whether the source shows compression artefacts.
    """
    fitting = [row for row in MODELS.values() if device_kind in row.automatic_on]
    return _for_material(fitting, compressed) if fitting else embedded_model(compressed=compressed)


def _for_material(rows: Iterable[ModelRow], compressed: bool) -> ModelRow:
    """Return the row for this material that is for the fewest others."""
    material: Material = "compressed" if compressed else "clean"
    fitting = [row for row in rows if material in row.automatic_for]
    return min(fitting, key=lambda row: len(row.automatic_for))


def _names() -> Mapping[str, ModelRow]:
    return {alias.lower(): row for row in MODELS.values() for alias in row.long_names}


def find(name: str) -> ModelRow | None:
    """Return the row of a name, alias or file name in any case; None if there is none."""
    return _names().get(name.lower())


def find_by_digest(sha256: str) -> ModelRow | None:
    """Return the row whose file has this SHA-256 (64 hex digits); None if there is none."""
    return next((row for row in MODELS.values() if sha256.startswith(row.digest)), None)


def lookup(name: str) -> ModelRow:
    """Return the row of a name, alias or file name.

    Raises:
        UnknownNameError: there is none; the message names the nearest, if any.
    """
    if row := find(name):
        return row
    raise UnknownNameError(f"unknown model {name!r}: {_suggestion(name)}")


def _suggestion(name: str) -> str:
    names = _names()
    short = {row.name: None for row in MODELS.values()}
    by_nearness = get_close_matches(name.lower(), [*short, *names], n=6, cutoff=0.5)
    nearest = list(dict.fromkeys(names[match].name for match in by_nearness))
    if nearest:
        return f"did you mean {' or '.join(nearest[:2])}? (`vsrpp models list` shows all)"
    return "`vsrpp models list` shows all; a file of weights or hf:OWNER/REPO/FILE will do, too"
