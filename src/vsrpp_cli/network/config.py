"""What has to be known to build a network: its widths, depths and variant."""

from dataclasses import dataclass, field


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
