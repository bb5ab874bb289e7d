"""What all networks here have in common: made ready once, then run chunk by chunk."""

from abc import abstractmethod
from typing import Literal, Self

import torch
from torch import Tensor, nn

from vsrpp_cli.backends.compiled import CompiledStages
from vsrpp_cli.network.config import AnyConfig
from vsrpp_cli.network.spynet import Spynet
from vsrpp_cli.streaming.storage import Storage
from vsrpp_cli.streaming.chunk_run import BranchState, ChunkRun, OnWork, Stages

Kernels = Literal["library", "fused", "winograd", "compiled"]
"""See `VideoNetwork.prepare`."""


class VideoNetwork(nn.Module, Stages):
    """A recurrent network for video; it is its own stages, by torch's operators."""

    def __init__(self, config: AnyConfig) -> None:
        super().__init__()
        self.config = config
        self._stages: Stages | None = None
        self._one_clip = False

    def prepare(
        self,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        kernels: Kernels = "library",
    ) -> Self:
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
            return self.compiled_stages()
        return self.fused_stages(dtype, winograd=kernels == "winograd")

    def compiled_stages(self) -> Stages:
        """Return the stages through torch's compiler."""
        return CompiledStages(self)

    @abstractmethod
    def fused_stages(self, dtype: torch.dtype, *, winograd: bool) -> Stages:
        """Return the stages with kernels of our own; see `prepare`."""

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and features."""
        return next(self.parameters()).dtype

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

    @property
    @abstractmethod
    def flow_network(self) -> Spynet:
        """The part that computes flows."""

    def pyramid(self, frame: Tensor) -> list[Tensor]:
        """Return the flow network's pyramid of flow inputs (N, 3, h, w)."""
        return self.flow_network.pyramid(frame)

    def flow(self, reference: list[Tensor], other: list[Tensor], size: torch.Size) -> Tensor:
        """Return the flow (N, 2, *size) from one pyramid's images to another's."""
        return self.flow_network.flow(reference, other, size)


def _kept(keep: range | slice | None, count: int) -> range:
    if keep is None:
        return range(count)
    kept = range(count)[keep] if isinstance(keep, slice) else keep
    if kept.step != 1 or not 0 <= kept.start < kept.stop <= count:
        raise ValueError(f"cannot keep {keep} of {count} frames")
    return kept
