"""What models and options ask of the geometry of a run."""

from collections.abc import Iterable

from vsrpp_cli.checkpoints.download import ResolvedModel
from vsrpp_cli.checkpoints.registry import DEFAULT_FRAME_CAP, DEFAULT_OVERLAP
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.planning.budget import Wishes


def wishes_of(models: Iterable[ResolvedModel], options: UpscaleOptions) -> Wishes:
    """Return what a chain of models needs, as far as the options leave it open."""
    rows = [model.row for model in models if model.row is not None]
    overlap = options.overlap
    if overlap is None:
        overlap = max((row.overlap for row in rows), default=DEFAULT_OVERLAP)
    return Wishes(
        overlap=overlap,
        overlap_given=options.overlap is not None,
        cap=min((row.frame_cap for row in rows), default=DEFAULT_FRAME_CAP),
        chunk=options.chunk,
        tile=options.tile,
        tile_overlap=options.tile_overlap,
    )
