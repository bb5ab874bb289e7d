"""What has to be known to build a network: its widths, depths and variant."""

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class SpynetConfig:
    """Widths of the flow network; the defaults are the published ones."""

    levels: int = 6
    """Pyramid levels; input is resized to a multiple of `2 ** (levels - 1)` pixels."""

    kernel: int = 7
    """Side of every convolution's kernel, odd."""

    widths: tuple[int, ...] = (32, 64, 32, 16)
    """Output channels of the hidden convolutions of each level; two more carry the flow."""

    @property
    def multiple_of(self) -> int:
        """What width and height are resized to a multiple of, in pixels."""
        return 1 << (self.levels - 1)


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Everything that distinguishes one BasicVSR++ from another."""

    channels: int = 64
    """Channels of features."""

    blocks: int = 7
    """Residual blocks of each propagation branch."""

    same_size: bool = False
    """Whether the output has the input's size (published: `is_low_res_input=False`)."""

    deform_groups: int = 16
    """Groups of channels that share sampling offsets."""

    extract_blocks: int = 5
    """Residual blocks of feature extraction."""

    reconstruct_blocks: int = 5
    """Residual blocks of reconstruction."""

    hr_channels: int = 64
    """Channels after the second pixel shuffle."""

    spynet: SpynetConfig = field(default_factory=SpynetConfig)

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return 1 if self.same_size else 4

    @property
    def multiple_of(self) -> int:
        """Width and height of a clip must be multiples of this, in pixels."""
        return 4 if self.same_size else 1

    @property
    def minimum(self) -> int:
        """Smallest width and height of a clip, in pixels: the flow network must see 64."""
        return 64 * self.multiple_of

    @property
    def held_channels(self) -> int:
        """Channels that a chunk holds of each frame: spatial features and three branches'."""
        return 4 * self.channels

    @property
    def carried_channels(self) -> int:
        """Channels carried over a chunk's border.

        Two features of each forward branch, and one of each backward branch for each of the
        `streaming.FADE` frames behind the border.
        """
        return 10 * self.channels


@dataclass(frozen=True, slots=True)
class BasicVSRConfig:
    """Everything that distinguishes one BasicVSR from another, RealBasicVSR among them."""

    channels: int = 64
    """Channels of features."""

    blocks: int = 20
    """Residual blocks of each propagation branch."""

    cleaning_blocks: int = 20
    """Residual blocks of image cleaning; 0 for a plain BasicVSR, which has none."""

    hr_channels: int = 64
    """Channels after the second pixel shuffle."""

    cleaning_threshold: float = 5 / 255
    """A frame is cleaned again while cleaning changes it by this much on average; of [0, 1]."""

    spynet: SpynetConfig = field(default_factory=SpynetConfig)

    same_size: ClassVar[bool] = False
    scale: ClassVar[int] = 4
    multiple_of: ClassVar[int] = 1
    minimum: ClassVar[int] = 64
    deform_groups: ClassVar[int] = 0
    """As in `NetworkConfig`; there is no deformable sampling."""

    @property
    def held_channels(self) -> int:
        """Channels that a chunk holds of each frame: one branch's, and the cleaned frame.

        The frame's three values are float32 whatever the precision: as much as six of 16 bits.
        """
        return self.channels + 6

    @property
    def carried_channels(self) -> int:
        """Channels carried over a chunk's border; see `NetworkConfig.carried_channels`."""
        return 5 * self.channels


AnyConfig = NetworkConfig | BasicVSRConfig
