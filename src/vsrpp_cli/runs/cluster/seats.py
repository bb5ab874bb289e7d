"""Where on a cluster workers go: one a GPU, or one for each share of the cores."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any


@dataclass(frozen=True)
class Needs:
    """What workers are to have."""

    kind: str
    """Of device: `cuda`, or anything that computes with the node's cores."""
    threads: int
    """Cores for each worker, on nodes that have them."""
    memory: int
    """Bytes a worker may use."""
    workers: int | None = None
    """Maximum number of workers; None for as many as there is room for."""

    @property
    def text(self) -> str:
        """What a node must have to be of use, for messages."""
        return "a GPU" if self.kind == "cuda" else "a core"


@dataclass(frozen=True)
class Seat:
    """A place for one worker."""

    node: str
    """Ray's name of the node."""
    number: int
    """Among those of the node."""
    device: str
    threads: int
    node_memory: int
    """Bytes that all workers of the node may use together."""

    @property
    def resources(self) -> dict[str, float]:
        """What Ray is asked to set aside."""
        if self.device.startswith("cuda"):
            return {"num_gpus": 1, "num_cpus": 0}
        return {"num_cpus": self.threads}


def share_of_cores(nodes: Iterable[Mapping[str, Any]], needs: Needs) -> int:
    """Return the threads of each worker, where a number of workers shares the cluster's cores."""
    if needs.kind == "cuda" or needs.workers is None:
        return needs.threads
    cores = sum(int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"])
    return max(1, min(needs.threads, cores // needs.workers))


def idle_gpus(nodes: Iterable[Mapping[str, Any]], needs: Needs) -> int:
    """Return how many GPUs of the cluster such workers leave alone."""
    if needs.kind == "cuda":
        return 0
    return sum(int(node["Resources"].get("GPU", 0)) for node in nodes if node["Alive"])


def seats(nodes: Iterable[Mapping[str, Any]], needs: Needs) -> list[Seat]:
    """Return the seats of the nodes that are alive, first one of each node, then the second ones.

    Args:
        nodes: as `ray.nodes()` describes them.
        needs: what workers are to have.
    """
    of_nodes = [_of_node(node, needs) for node in nodes if node["Alive"]]
    turns = chain.from_iterable(zip_longest(*of_nodes))
    return [seat for seat in turns if seat is not None][: needs.workers]


def _of_node(node: Mapping[str, Any], needs: Needs) -> Sequence[Seat]:
    there = node["Resources"]
    cores, memory = int(there.get("CPU", 0)), int(there.get("memory", 0))
    if needs.kind == "cuda":
        count = int(there.get("GPU", 0))
        threads = max(1, min(needs.threads, cores // max(1, count)))
        device = "cuda:0"  # Ray shows each worker its own GPU only
    else:
        threads = min(needs.threads, cores)
        count = min(cores // max(1, threads), max(1, memory // max(1, needs.memory)))
        device = needs.kind
    return [Seat(node["NodeID"], k, device, threads, memory) for k in range(count)]
