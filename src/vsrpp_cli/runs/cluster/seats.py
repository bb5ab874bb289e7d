"""The places for workers on a cluster: one for each GPU, or for each share of the cores."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any


@dataclass(frozen=True)
class Needs:
    """The resources that each worker needs."""

    kind: str
    """Kind of device: `cuda`, or one that uses the node's cores."""
    threads: int
    """Cores for each worker, on nodes that have so many."""
    memory: int
    """Bytes a worker may use."""
    workers: int | None = None
    """Maximum number of workers; None for as many as there is room for."""

    @property
    def text(self) -> str:
        """What a node must have to run a worker, for messages."""
        return "a GPU" if self.kind == "cuda" else "a core"


@dataclass(frozen=True)
class Seat:
    """A place for one worker."""

    node: str
    """Ray's ID of the node."""
    number: int
    """Number of the seat on its node."""
    device: str
    threads: int
    node_memory: int
    """Bytes that all workers of the node may use together."""

    @property
    def resources(self) -> dict[str, float]:
        """The resources that Ray reserves for it."""
        if self.device.startswith("cuda"):
            return {"num_gpus": 1, "num_cpus": 0}
        return {"num_cpus": self.threads}


def share_of_cores(nodes: Iterable[Mapping[str, Any]], needs: Needs) -> int:
    """Return the threads of each worker; a given number of workers shares the cluster's cores."""
    if needs.kind == "cuda" or needs.workers is None:
        return needs.threads
    cores = sum(int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"])
    return max(1, min(needs.threads, cores // needs.workers))


def idle_gpus(nodes: Iterable[Mapping[str, Any]], needs: Needs) -> int:
    """Return how many GPUs of the cluster the workers do not use."""
    if needs.kind == "cuda":
        return 0
    return sum(int(node["Resources"].get("GPU", 0)) for node in nodes if node["Alive"])


def seats(nodes: Iterable[Mapping[str, Any]], needs: Needs) -> list[Seat]:
    """Return the seats of all live nodes: the first of each node, then the second of each, ...

    Args:
        nodes: as `ray.nodes()` returns them.
        needs: the resources of each worker.
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
