"""BasicVSR++ (Chan et al., CVPR 2022, arXiv 2104.13371), exactly as published.

Parameter names are the published ones, so published checkpoints load with `strict=True`. What the
published code does not have: it remembers nothing from one call to the next (the original keeps
`is_mirror_extended`, so that one static clip spoils all later ones), and its flows, grids and
offsets are float32 in every precision.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsrpp_cli.network.alignment import Alignment
from vsrpp_cli.network.compiled import CompiledStages
from vsrpp_cli.network.config import NetworkConfig
from vsrpp_cli.network.layers import SLOPE, ResidualBlocks, Upsample
from vsrpp_cli.network.spynet import Spynet
from vsrpp_cli.network.storage import Storage
from vsrpp_cli.network.streaming import BRANCHES, BranchState, ChunkRun, OnWork, Past, Stages
from vsrpp_cli.network.warp import warp

Kernels = Literal["library", "fused", "winograd", "compiled"]
"""See `BasicVSRPP.prepare`."""


class BasicVSRPP(nn.Module):
    """The network; `config` says which."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        channels = config.channels
        self.spynet = Spynet(config.spynet)
        self.feat_extract = _feature_extraction(config)
        self.deform_align = nn.ModuleDict(
            {name: Alignment(channels, config.deform_groups) for name in BRANCHES}
        )
        self.backbone = nn.ModuleDict(
            {
                name: ResidualBlocks((2 + index) * channels, channels, config.blocks)
                for index, name in enumerate(BRANCHES)
            }
        )
        self.reconstruction = ResidualBlocks(5 * channels, channels, config.reconstruct_blocks)
        self.upsample1 = Upsample(channels, channels)
        self.upsample2 = Upsample(channels, config.hr_channels)
        self.conv_hr = nn.Conv2d(config.hr_channels, config.hr_channels, 3, padding=1)
        self.conv_last = nn.Conv2d(config.hr_channels, 3, 3, padding=1)
        self._stages: Stages | None = None
        self._one_clip = False

    def prepare(
        self,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        kernels: Kernels = "library",
    ) -> "BasicVSRPP":
        """Make ready for inference, in place: no gradients, weights on a device in a precision.

        Args:
            device: where to compute.
            dtype: of weights and features, float32, bfloat16 or float16; flows, sampling grids,
                offsets and the statistics that normalise images stay float32.
            kernels: how `run` computes. "library": by torch's operators, anywhere. "fused": by
                kernels of our own for what is no convolution. "winograd": for 3x3 convolutions
                too; the fastest where the processor has AVX-512 but no AMX. These two need the
                CPU, float32 or bfloat16 and `config.channels` and `config.hr_channels` that are
                multiples of 16. bfloat16 is right on every CPU, and fast where it has instructions
                for it. "compiled": by torch's operators through its compiler, anywhere; takes
                minutes at first use. `forward` always goes by torch's operators.

        Returns:
            the network itself. Packed weights are made from those it has now: prepare the float32
            original (or a copy of it), and load nothing into it afterwards.
        """
        self.eval().requires_grad_(requires_grad=False)
        self._one_clip = kernels in ("fused", "winograd")
        self._stages = self._made_stages(dtype, kernels)
        self.to(device)
        for parameter in self.parameters():
            parameter.data = parameter.data.to(dtype)
        return self.to(memory_format=torch.channels_last)

    def _made_stages(self, dtype: torch.dtype, kernels: Kernels) -> Stages | None:
        if kernels == "library":
            return None
        if kernels == "compiled":
            return CompiledStages(self)
        from vsrpp_cli.network.stages import FusedStages  # noqa: PLC0415  needs numba, is slow

        return FusedStages(self, dtype, winograd=kernels == "winograd")

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and features."""
        return self.conv_last.weight.dtype

    def forward(self, clip: Tensor) -> Tensor:
        """Return the clip at the network's output size, differentiable.

        Args:
            clip: shape (N, T, 3, H, W), RGB, [0, 1], float32; H and W at least `config.minimum` for
                the published accuracy, and multiples of `config.multiple_of`.

        Returns:
            shape (N, T, 3, scale * H, scale * W), float32, not clamped.
        """
        n, t = clip.shape[:2]
        flows_forward, flows_backward = self.flows(clip)
        spatial = _split(self.extract(clip.flatten(0, 1)), n)
        features: list[list[Tensor]] = [list(spatial.unbind(1))]
        for name in BRANCHES:
            backward = name.startswith("backward")
            flows = flows_backward.flip(1) if backward else flows_forward
            inputs = [branch[::-1] for branch in features] if backward else features
            states = self.propagate(name, inputs, flows)
            features.append(states[::-1] if backward else states)
        frames = [
            self.reconstruct([branch[i] for branch in features], clip[:, i]) for i in range(t)
        ]
        return torch.stack(frames, dim=1)

    def run(
        self,
        clip: Tensor,
        *,
        keep: range | slice | None = None,
        state: BranchState | None = None,
        resume_at: int | None = None,
        storage: Storage | None = None,
        on_work: OnWork | None = None,
    ) -> ChunkRun:
        """Compute some frames of a chunk one after another, without gradients.

        For frame k of the clip the result is `forward(clip[None])[0, k]`, to rounding, if no state
        is given. With a state, what differs from the unbroken sequence comes only from backward
        branches that see fewer frames behind `keep.stop` than there are; nothing differs, not one
        bit, if both chunks reach to where the sequence ends.

        Args:
            clip: the chunk, shape (T, 3, H, W), RGB, [0, 1], float32, on the network's device (or
                as `storage` keeps it); H and W as `forward` wants them. Not to be written to until
                the last frame is out. With kernels "library" or "compiled" also (T, N, 3, H, W): N
                clips that share every call of the network, and nothing else.
            keep: which of its T frames to hand out, one after another without gaps (step 1); all
                by default. The others are context.
            state: of an earlier chunk of the same frame size whose kept frames ended just before
                this clip's first frame. Forward branches then go on as if there had been no
                border, so no context is needed before `keep.start`.
            resume_at: the frame of this clip that the next chunk begins with, if not `keep.stop`
                but one before it: where all frames of a chunk are wanted for another network.
            storage: where to keep what is not being computed with; on the device by default. A
                `state` must come from a run with the same storage.
            on_work: told after each step of a frame what share of the whole work that was.

        Returns:
            an iterator over the kept frames in order: each (3, scale * H, scale * W), or (N, 3,
            ...) of N clips, float32, not clamped, on the network's device, a tensor of its own. The
            first `next()` does most of the work (flows, features and three of the four branches for
            the whole chunk), the others the last branch and the reconstruction of one frame each.
            Once the last kept frame is out, its attribute `state` is the `BranchState` for the
            chunk that begins at `keep.stop` (or `resume_at`); it holds two features for each
            forward branch and one frame, as `storage` keeps them, in the network's dtype, and stays
            valid as long as it is kept.

        Raises:
            ValueError: `keep` is empty or not inside the clip, `resume_at` is not among
                `1..keep.stop`, or the network's kernels take one clip at a time.
        """
        if self._one_clip and clip.dim() == 5 and clip.shape[1] > 1:
            raise ValueError(f"these kernels take one clip at a time, not {clip.shape[1]}")
        kept = _kept(keep, len(clip))
        if resume_at is not None and not 1 <= resume_at <= kept.stop:
            raise ValueError(f"cannot resume at frame {resume_at} when keeping {kept}")
        stages = self._stages or self
        return ChunkRun(
            stages, clip, kept, state, resume_at=resume_at, storage=storage, on_work=on_work
        )

    def flow_input(self, frames: Tensor) -> Tensor:
        """Return what the flow network sees of (N, 3, H, W) frames: (N, 3, h, w), float32."""
        if not self.config.same_size:
            return frames.float()
        return F.interpolate(frames.float(), scale_factor=0.25, mode="bicubic")

    def flows(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return the flows of a (N, T, 3, H, W) clip between neighbours.

        Returns:
            forward flows (N, T-1, 2, h, w): number i from frame i+1 to frame i, which forward
            branches follow; backward flows of the same shape: number i from frame i to frame i+1.
            float32, pixels of (h, w), channels x, y.
        """
        n, t = clip.shape[:2]
        small = _split(self.flow_input(clip.flatten(0, 1)), n)
        if t == 1:
            empty = small.new_zeros(n, 0, 2, *small.shape[-2:])
            return empty, empty
        pyramid = self.spynet.pyramid(small.flatten(0, 1))
        levels = [_split(level, n) for level in pyramid]
        earlier = [level[:, :-1].flatten(0, 1) for level in levels]
        later = [level[:, 1:].flatten(0, 1) for level in levels]
        size = small.shape[-2:]
        forward = self.spynet.flow(later, earlier, size)
        backward = self.spynet.flow(earlier, later, size)
        return _split(forward, n), _split(backward, n)

    def pyramid(self, frame: Tensor) -> list[Tensor]:
        """Return the flow network's pyramid of flow inputs (N, 3, h, w)."""
        return self.spynet.pyramid(frame)

    def flow(self, reference: list[Tensor], other: list[Tensor], size: torch.Size) -> Tensor:
        """Return the flow (N, 2, *size) from one pyramid's images to another's."""
        return self.spynet.flow(reference, other, size)

    def extract(self, frames: Tensor) -> Tensor:
        """Return the spatial features (N, C, h, w) of (N, 3, H, W) frames."""
        features: Tensor = self.feat_extract(frames.to(self.dtype))
        return features

    def propagate(self, name: str, inputs: list[list[Tensor]], flows: Tensor) -> list[Tensor]:
        """Run one branch over all frames.

        Args:
            name: of the branch.
            inputs: for each of spatial features and earlier branches its (N, C, h, w) features in
                the branch's own order of time.
            flows: shape (N, T-1, 2, h, w): number i from the branch's frame i+1 to its frame i.

        Returns:
            the branch's features, (N, C, h, w) each, in the branch's order of time.
        """
        states: list[Tensor] = []
        past: Past | None = None
        for i, current in enumerate(zip(*inputs, strict=True)):
            flow_1 = flows[:, i - 1] if i > 0 else None
            flow_before = flows[:, i - 2] if i > 1 else None
            states.append(self.step(name, list(current), past, flow_1, flow_before))
            past = Past(states[-1], None if past is None else past.last)
        return states

    def step(
        self,
        name: str,
        inputs: list[Tensor],
        past: Past | None,
        flow_1: Tensor | None,
        flow_before: Tensor | None,
    ) -> Tensor:
        """Return a branch's features of its next frame.

        Args:
            name: of the branch.
            inputs: the frame's spatial features and earlier branches' features, (N, C, h, w) each.
            past: what the branch remembers; None at its first frame.
            flow_1: shape (N, 2, h, w), float32: from the frame to the branch's last one, None at
                its first.
            flow_before: from the last frame to the one before it, None where there is none.
        """
        if past is None or flow_1 is None:
            aligned = torch.zeros_like(inputs[0])
        else:
            aligned = self.align(name, inputs[0], past, flow_1, flow_before)
        refined: Tensor = self.backbone[name](torch.cat([*inputs, aligned], dim=1))
        return refined + aligned  # in this order, for a sum is laid out as its first term is

    def align(
        self,
        name: str,
        current: Tensor,
        past: Past,
        flow_1: Tensor,
        flow_before: Tensor | None,
    ) -> Tensor:
        """Return the two last states of a branch, aligned with the current frame.

        Args:
            name: of the branch.
            current: the current frame's spatial features, (N, C, h, w).
            past: the branch's features of its last frame and of the one before that.
            flow_1: shape (N, 2, h, w), float32: from the current frame to the last.
            flow_before: from the last frame to the one before, None where there is none.
        """
        last = past.last
        warped_1 = warp(last, flow_1)
        if past.before is None or flow_before is None:
            second = torch.zeros_like(last)
            flow_2, warped_2 = torch.zeros_like(flow_1), torch.zeros_like(warped_1)
        else:
            second = past.before
            flow_2 = flow_1 + warp(flow_before, flow_1)
            warped_2 = warp(second, flow_2)
        warped = torch.cat([warped_1, current, warped_2], dim=1)
        aligned: Tensor = self.deform_align[name](
            torch.cat([last, second], dim=1), warped, flow_1, flow_2
        )
        return aligned

    def reconstruct(self, features: list[Tensor], frame: Tensor) -> Tensor:
        """Return one output frame.

        Args:
            features: the five (N, C, h, w) features of the frame: spatial, then the branches'.
            frame: the input frame, (N, 3, H, W).

        Returns:
            shape (N, 3, scale * H, scale * W), float32.
        """
        x = self.reconstruction(torch.cat(features, dim=1))
        x = F.leaky_relu(self.upsample1(x), SLOPE)
        x = F.leaky_relu(self.upsample2(x), SLOPE)
        x = F.leaky_relu(self.conv_hr(x), SLOPE)
        residue: Tensor = self.conv_last(x).float()
        return residue + self.enlarge(frame)

    def enlarge(self, frame: Tensor) -> Tensor:
        """Return (N, 3, H, W) at the output's size, bilinearly, in float32."""
        if self.config.same_size:
            return frame.float()
        return F.interpolate(frame.float(), scale_factor=4, mode="bilinear", align_corners=False)


def _kept(keep: range | slice | None, count: int) -> range:
    if keep is None:
        return range(count)
    kept = range(count)[keep] if isinstance(keep, slice) else keep
    if kept.step != 1 or not 0 <= kept.start < kept.stop <= count:
        raise ValueError(f"cannot keep {keep} of {count} frames")
    return kept


def _split(frames: Tensor, n: int) -> Tensor:
    """Undo the flattening of n clips into one row of frames: (N*T, ...) to (N, T, ...)."""
    return frames.reshape(n, -1, *frames.shape[1:])


def _feature_extraction(config: NetworkConfig) -> nn.Module:
    channels = config.channels
    if not config.same_size:
        return ResidualBlocks(3, channels, config.extract_blocks)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, stride=2, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(channels, channels, 3, stride=2, padding=1),
        nn.LeakyReLU(SLOPE),
        ResidualBlocks(channels, channels, config.extract_blocks),
    )
