"""A table of benchmarks and how they are measured in the reference configurations of BasicVSR++."""

from dataclasses import dataclass

from vsrpp_cli.checkpoints.registry import ModelRow, Score
from vsrpp_cli.degrade import Kind
from vsrpp_cli.errors import UnknownNameError
from vsrpp_cli.metrics import Channels


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How one data set is measured."""

    name: str
    title: str
    """Its name in published tables."""
    channels: Channels
    kinds: tuple[Kind, ...]
    """Degradations with published results, the usual one first."""
    border: int = 0
    sequences: tuple[str, ...] = ()
    """Names of the folders that are measured; empty for all."""
    listing: str | None = None
    """File next to or above the sequences with the names of those in the test set, one a line."""
    sequence_count: int
    frame_count: int
    """Number of sequences and measured frames of the whole set."""
    centre_only: bool = False
    """Whether only the middle frame is measured. The sequence is then followed by itself reversed,
    and the two results for the middle frame are averaged, as in the reference code."""


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="vid4",
            title="Vid4",
            channels="y",
            kinds=("bi", "bd"),
            sequences=("calendar", "city", "foliage", "walk"),
            sequence_count=4,
            frame_count=171,
        ),
        Protocol(
            name="reds4",
            title="REDS4",
            channels="rgb",
            kinds=("bi",),
            sequences=("000", "011", "015", "020"),
            sequence_count=4,
            frame_count=400,
        ),
        Protocol(
            name="udm10",
            title="UDM10",
            channels="y",
            kinds=("bd",),
            sequence_count=10,
            frame_count=320,
        ),
        Protocol(
            name="vimeo90k-t",
            title="Vimeo-90K-T",
            channels="y",
            kinds=("bi", "bd"),
            listing="sep_testlist.txt",
            sequence_count=7824,
            frame_count=7824,
            centre_only=True,
        ),
    )
}


def find_protocol(name: str) -> Protocol:
    """Return the protocol called `name`; UnknownNameError if there is none."""
    if name not in PROTOCOLS:
        raise UnknownNameError(f"protocol {name!r}: must be one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def published(row: ModelRow | None, protocol: Protocol | None, kind: str) -> Score | None:
    """Return the published result of a model on this data set with this degradation, if any."""
    if row is None or protocol is None:
        return None
    dataset = f"{protocol.title}, {kind.upper()}"
    return next((score for score in row.scores if score.dataset == dataset), None)
