"""A training recipe: everything that decides a training run, read from a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vsrpp_cli.errors import UsageError
from vsrpp_cli.records import from_json
from vsrpp_cli.training.material.prepare import PreparationSettings

Degradation = Literal["bi", "bd", "real"]
Schedule = Literal["constant", "cosine"]
TrainingPrecision = Literal["fp32", "bf16"]
StageKind = Literal["restore", "flow"]


@dataclass(frozen=True)
class ModelRecipe:
    """The network to train, by default with the published widths; fields as in `NetworkConfig`."""

    channels: int = 64
    blocks: int = 7
    deform_groups: int = 16
    extract_blocks: int = 5
    reconstruct_blocks: int = 5
    hr_channels: int = 64
    flow_levels: int = 6
    flow_kernel: int = 7
    flow_widths: tuple[int, ...] = (32, 64, 32, 16)


@dataclass(frozen=True)
class Mixture:
    """The ``real`` degradation. Shares are probabilities, drawn for each clip independently."""

    clean: float = 0.18
    """Share of clips that are only downscaled; all other shares are of the rest."""
    blurred: float = 0.12
    """Share of clips that are blurred before downscaling."""
    blur: tuple[float, float] = (0.1, 0.5)
    """Range of the Gaussian's sigma, low-resolution pixels."""
    noisy: float = 0.12
    """Share of clips with Gaussian noise before compression."""
    noise: tuple[float, float] = (0.5, 3.0)
    """Range of its standard deviation, levels of 255."""
    twice: float = 0.15
    """Share of clips compressed twice: first by x264, with a CRF of the lower half of the range."""
    crf: tuple[float, float] = (12.0, 33.0)
    """Range of x264's CRF."""
    usual_crf: float = 23.0
    """The most frequent CRF: the peak of a triangular distribution over the range."""
    other_codecs: float = 0.2
    """Share of clips compressed last by MPEG-2, MPEG-4 Part 2 or VP9 instead of x264."""
    quantiser: tuple[float, float] = (2.0, 12.0)
    """Range of the quantiser of the MPEG codecs."""
    vp9_crf: tuple[float, float] = (15.0, 50.0)
    """Range of VP9's CRF."""
    full_chroma: float = 0.1
    """Share of the clips compressed last by x264 that have 4:2:2 or 4:4:4 instead of 4:2:0."""


@dataclass(frozen=True)
class DataRecipe:
    """How clips are drawn from a pack and degraded."""

    degradation: Degradation = "bi"
    """``bi``, ``bd`` or ``real`` (blur, noise and compression, as `mixture` says)."""
    mixture: Mixture = field(default_factory=Mixture)
    synthetic: float = 0.0
    """Share of clips that are rendered from stills with known motion."""
    speed: tuple[float, float] = (0.03, 5.0)
    """Range of synthetic motion in low-resolution pixels a frame, drawn log-uniformly."""
    parallax: float = 0.0
    """Share of synthetic clips with a second still that moves, cut out, in front of the first."""
    exposed: float = 0.0
    """Share of synthetic clips whose frames are exposed for part of the frame time."""
    exposure: tuple[float, float] = (0.1, 0.5)
    """Range of that part."""
    skip: int = 2
    """Filmed clips take every n-th frame; n is drawn from 1 to this."""
    mirror: bool = False
    """Whether a filmed clip is half as many frames followed by the same in reverse, as in the paper
    for the seven frames of Vimeo-90K."""
    reverse: bool = True
    """Whether half of the filmed clips run backwards."""
    detail_power: float = 0.7
    """Clips are drawn with a probability growing with this power of their detail."""


@dataclass(frozen=True)
class OptimiserRecipe:
    """Adam and its schedule."""

    betas: tuple[float, float] = (0.9, 0.99)
    """Decay rates of Adam's moments."""
    clip: float = 1.0
    """Largest norm of the gradient; longer ones are scaled down."""
    warm_up: int = 100
    """Steps at the beginning of each stage over which the rate grows to its full value."""
    schedule: Schedule = "constant"
    """``constant``, or ``cosine`` over the steps of each stage."""
    floor: float = 0.02
    """Rate at the end of a cosine or of a decay, as a share of the full rate."""
    flow_rate: float = 0.25
    """The flow network's share of the rate while the whole network is trained."""
    flow_fixed: int = 0
    """Steps of restoration at the beginning during which the flow network stays as it is."""
    ema: float = 0.999
    """Decay of the moving average of the weights."""


@dataclass(frozen=True)
class LossRecipe:
    """What is minimised."""

    epsilon: float = 1e-3
    """Of Charbonnier's loss, sqrt(x^2 + epsilon^2)."""
    flow: float = 0.0
    """Weight of the flow's error where motion is synthetic and so known (pixels)."""
    photometric: float = 0.0
    """Weight of the photometric error of the flow where motion is not known."""
    smoothness: float = 0.0
    """Weight of the flow's spatial gradients, relative to the photometric error."""


@dataclass(frozen=True)
class Stage:
    """A part of the schedule with its own rate and sizes."""

    kind: StageKind = "restore"
    """``restore`` trains the whole network, ``flow`` the flow network alone on known motion."""
    steps: int = 1000
    rate: float = 1e-4
    """Adam's learning rate."""
    batch: int = 8
    """Clips of a step, over all processes."""
    frames: int = 15
    """Frames of a clip."""
    patch: int = 64
    """Height and width of the low-resolution patch, pixels."""


@dataclass(frozen=True)
class ValidationRecipe:
    """How progress is measured on held-out clips."""

    every: int = 1000
    """Steps between two validations; 0 for none."""


@dataclass(frozen=True)
class Recipe:
    """A whole training run."""

    name: str = "unnamed"
    description: str = ""
    seed: int = 0
    precision: TrainingPrecision = "fp32"
    """``fp32``, or ``bf16``: weights and features of convolutions in bfloat16."""
    save_every: int = 200
    """Steps between two saved states."""
    held_out: tuple[str, ...] = ()
    """Videos (paths below the data folder) that are used for validation only."""
    model: ModelRecipe = field(default_factory=ModelRecipe)
    preparation: PreparationSettings = field(default_factory=PreparationSettings)
    data: DataRecipe = field(default_factory=DataRecipe)
    optimiser: OptimiserRecipe = field(default_factory=OptimiserRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    validation: ValidationRecipe = field(default_factory=ValidationRecipe)
    stages: tuple[Stage, ...] = (Stage(),)

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[Stage, int]:
        """Return a step's stage and its number within that stage; the last stage has no end."""
        for stage in self.stages[:-1]:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        return self.stages[-1], step


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: the file cannot be read, is no TOML, or holds unknown or impossible values.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the recipe {path}: {error}") from error
    return parse_recipe(text, str(path))


def parse_recipe(text: str, name: str) -> Recipe:
    """Return the recipe in a text; `name` stands in messages.

    Raises:
        UsageError: the text is no TOML, or holds unknown or impossible values.
    """
    try:
        recipe = from_json(Recipe, tomllib.loads(text))
    except ValueError as error:
        raise UsageError(f"cannot read the recipe {name}: {error}") from error
    check(recipe)
    return recipe


def check(recipe: Recipe) -> None:
    """Raise UsageError if a value of the recipe is impossible."""
    step = 1 << (recipe.model.flow_levels - 1)
    for stage in recipe.stages:
        if stage.patch % step:
            raise UsageError(f"recipe: a patch of {stage.patch} is no multiple of {step}")
        frames = stage.frames // 2 if recipe.data.mirror else stage.frames
        if stage.kind == "restore" and frames > recipe.preparation.frames:
            raise UsageError(
                f"recipe: {frames} frames do not fit packed clips of {recipe.preparation.frames}"
            )
        if stage.kind == "flow" and stage.frames != 2:
            raise UsageError(f"recipe: a flow stage has 2 frames, not {stage.frames}")
        if 4 * stage.patch > recipe.preparation.size:
            raise UsageError(
                f"recipe: a patch of {stage.patch} needs packed clips of at least "
                f"{4 * stage.patch} pixels, not {recipe.preparation.size}"
            )
