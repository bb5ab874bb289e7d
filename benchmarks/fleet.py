"""Simulates plans carried out by 1 to 10,000 workers: how long they take, and which settings help.

    python benchmarks/fleet.py [--pictures docs/images] [--frame 0.1] [--seed 1]

No frame is computed. Simulated workers start, take segments, upload them, fail or are slow; a
driver hands segments out and records them; films are joined. How long each of these takes is
`MEASURED` below, which `benchmarks/fleet_costs.py` prints and compares with real workers; --frame
sets the seconds per frame.
"""

import argparse
import heapq
import itertools
import math
import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from charts import bar_chart, line_chart

WORKERS = (1, 10, 100, 1_000, 10_000)
SEGMENTS = (25, 50, 100, 250, 500, 1_000, 2_500)
"""Frames."""
FILM = 172_800
"""Frames of two hours at 24 a second."""

AGAIN = 8
"""Number of seeds averaged where results depend much on chance."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds that the parts of the work take."""

    start: float
    """Start of a worker: interpreter, libraries, plan, weights."""
    segment: float
    """Fixed time per segment: opening, seeking, encoder, making it durable."""
    frame: float
    """Time per frame: decoding, network, encoding, on one worker."""
    join: float
    """Fixed time per join."""
    join_frame: float
    """Time per frame joined and verified."""
    drive: float = 0.0
    """The driver's time per segment; 0 without a driver (`vsrpp worker` under a scheduler)."""
    frame_bytes: float = 0.0
    """Bytes per frame in a segment."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The machines."""

    workers: int
    losses: float = 0.0
    """Failures per hour and worker: preempted machines, broken nodes."""
    replaced: float = 120.0
    """Seconds until a lost machine is replaced, before the new worker's start."""
    spread: float = 0.0
    """Standard deviation of the logarithm of the machines' speed."""
    stragglers: float = 0.0
    """Share of segments that are slow."""
    slowdown: float = 5.0
    """How many times as long those take."""
    twice: bool = False
    """Whether idle workers compute a second time segments that others will finish later."""
    bandwidth: float = 20e6
    """Upload rate of one worker in bytes per second."""
    joiners: int = 1
    """Number of films that can be joined at the same time."""


@dataclass
class Film:
    """A film."""

    frames: int
    left: int = 0
    """Number of segments that are not finished."""


@dataclass
class Task:
    """A segment."""

    film: Film
    frames: int
    tries: list["Try"] = field(default_factory=list)
    """Attempts that are running."""


@dataclass(eq=False)
class Try:
    """A worker's attempt at a segment."""

    worker: int
    task: Task
    began: float
    ends: float
    lost: bool
    """Whether it ends because the worker fails."""
    over: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of a simulation; times in seconds from its start."""

    seconds: float
    """Time at which the last film is joined."""
    computed: float
    """Time at which the last segment is finished."""
    given: float
    """Time at which the last segment is handed out for the first time."""
    spent: dict[str, float]
    """Seconds of all workers together, by activity."""

    @property
    def parts(self) -> dict[str, float]:
        """The phases that add up to `seconds`."""
        return {
            "all at work": self.given,
            "the last segments": self.computed - self.given,
            "the join": self.seconds - self.computed,
        }


class Simulation:
    """One simulation.

    Args:
        films: lengths in frames.
        fleet: the machines.
        costs: the times of the parts of the work.
        segment: the largest number of frames of a segment.
        seed: seed of the random numbers.
    """

    def __init__(
        self, films: Sequence[int], fleet: Fleet, costs: Costs, segment: int, seed: int = 1
    ) -> None:
        self.fleet, self.costs = fleet, costs
        self.chance = random.Random(seed)
        self.waiting = deque(task for frames in films for task in _tasks(frames, segment))
        self.spent: Counter[str] = Counter()
        self._events: list[tuple[float, int, Try | int]] = []
        self._numbers = itertools.count()
        self._longest: list[tuple[float, int, Try]] = []
        self._idle: list[int] = []
        self._driver = 0.0
        self._joiners = [0.0] * fleet.joiners
        self._given = self._computed = self._end = 0.0
        active = min(fleet.workers, len(self.waiting))
        self._speed = [math.exp(self.chance.gauss(0, fleet.spread)) for _ in range(active)]

    def run(self) -> Outcome:
        """Simulate until all films are joined."""
        for worker in range(len(self._speed)):
            self._starts(worker, 0.0)
        while self._events:
            now, _, event = heapq.heappop(self._events)
            if isinstance(event, int):
                self._free(event, now)
            elif not event.over:
                self._ends(event, now)
        self.spent["idle"] = len(self._speed) * self._end - sum(self.spent.values())
        return Outcome(
            seconds=self._end, computed=self._computed, given=self._given, spent=dict(self.spent)
        )

    def _at(self, time: float, event: Try | int) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), event))

    def _starts(self, worker: int, now: float) -> None:
        self.spent["start"] += self.costs.start
        self._at(now + self.costs.start, worker)

    def _free(self, worker: int, now: float) -> None:
        """Give a free worker a segment, or make it idle."""
        if self.waiting:
            self._take(worker, self.waiting.popleft(), now)
            self._given = now if not self.waiting else self._given
        elif self.fleet.twice and (late := self._latest(worker, now)) is not None:
            self._take(worker, late, now)
        else:
            self._idle.append(worker)

    def _latest(self, worker: int, now: float) -> Task | None:
        """Return the segment that will be finished last, if this worker would finish it earlier."""
        while self._longest:
            negative, _, known = self._longest[0]
            if known.over or len(known.task.tries) > 1:
                heapq.heappop(self._longest)
                continue
            return known.task if -negative > now + self._usual(worker, known.task) else None
        return None

    def _usual(self, worker: int, task: Task) -> float:
        return self.costs.segment + task.frames * self.costs.frame * self._speed[worker]

    def _take(self, worker: int, task: Task, now: float) -> None:
        self._driver = began = max(now, self._driver) + self.costs.drive
        seconds = self._usual(worker, task)
        if self.chance.random() < self.fleet.stragglers:
            seconds *= self.fleet.slowdown
        ends = began + seconds + task.frames * self.costs.frame_bytes / self.fleet.bandwidth
        rate = self.fleet.losses / 3600
        gone = began + self.chance.expovariate(rate) if rate else math.inf
        attempt = Try(worker, task, now, min(ends, gone), lost=gone < ends)
        task.tries.append(attempt)
        self._at(attempt.ends, attempt)
        if self.fleet.twice:
            heapq.heappush(self._longest, (-attempt.ends, next(self._numbers), attempt))

    def _ends(self, attempt: Try, now: float) -> None:
        attempt.over = True
        attempt.task.tries.remove(attempt)
        if attempt.lost:
            self._lose(attempt, now)
            return
        self.spent["frames"] += attempt.task.frames * self.costs.frame
        self.spent["segments"] += now - attempt.began - attempt.task.frames * self.costs.frame
        for other in attempt.task.tries:  # the first result counts
            other.over = True
            self.spent["twice"] += now - other.began
            self._at(now, other.worker)
        attempt.task.tries.clear()
        self._done(attempt.task.film, now)
        self._at(now, attempt.worker)

    def _lose(self, attempt: Try, now: float) -> None:
        self.spent["lost"] += now - attempt.began
        self.spent["away"] += self.fleet.replaced
        self._starts(attempt.worker, now + self.fleet.replaced)
        if not attempt.task.tries:
            self.waiting.appendleft(attempt.task)
            if self._idle:
                self._at(now, self._idle.pop())

    def _done(self, film: Film, now: float) -> None:
        film.left -= 1
        self._computed = now
        if film.left == 0:
            began = max(now, heapq.heappop(self._joiners))
            end = began + self.costs.join + film.frames * self.costs.join_frame
            heapq.heappush(self._joiners, end)
            self._end = max(self._end, end)


def _tasks(frames: int, segment: int) -> list[Task]:
    """Return the segments of a film, of about equal length."""
    count = math.ceil(frames / segment)
    film = Film(frames, count)
    ends = [frames * (k + 1) // count for k in range(count)]
    return [Task(film, stop - start) for start, stop in itertools.pairwise([0, *ends])]


def simulate(
    films: Sequence[int], fleet: Fleet, costs: Costs, segment: int, seed: int = 1
) -> Outcome:
    """Simulate once; arguments as for `Simulation`."""
    return Simulation(films, fleet, costs, segment, seed).run()


MEASURED = Costs(
    start=4.0,
    segment=0.18,
    frame=0.1,
    join=2.8,
    join_frame=0.029,
    drive=0.004,
    frame_bytes=46_000,
)
"""Processor seconds on the machine of `docs/benchmarks.md`. Starts, segments and joins are what
`fleet_costs.py` printed; a joined frame's were timed by hand, at 2560x1440. The driver's is
a line of the journal, made durable. A frame's is what `vsrpp plan` foretells of `reds4` on a GPU
for 640x360, rounded, which nobody has measured; its bytes are what room is made for."""

COPIED = 0.0085
"""Seconds of a frame that is joined and not decoded, timed by hand, too."""


def collection(count: int, seed: int = 1) -> list[int]:
    """Return lengths in frames of films from seconds to hours: half are below three minutes."""
    chance = random.Random(seed)
    seconds = (math.exp(chance.gauss(math.log(180), 1.5)) for _ in range(count))
    return [round(24 * min(max(5.0, s), 4 * 3600)) for s in seconds]


def duration(seconds: float) -> str:
    """Return a duration as text."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as Markdown."""
    for row in (head, ["---"] * len(head), *rows):
        print("|", " | ".join(row), "|")
    print(flush=True)


Curves = dict[str, list[tuple[float, float]]]
"""Points of each line of a picture, by its name."""


@dataclass
class Study:
    """The questions, each answered with a table and a picture."""

    costs: Costs
    seed: int
    curves: dict[str, Curves] = field(default_factory=dict)
    bars: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    def _run(self, films: Sequence[int], segment: int, **fleet: float) -> Outcome:
        return simulate(films, Fleet(**fleet), self.costs, segment, self.seed)

    def one_film(self) -> None:
        """How long does a film of two hours take, and what segments are best?"""
        print(f"## A film of {FILM:,} frames: time until it is there\n")
        found = {
            (n, s): self._run([FILM], s, workers=n) for n, s in itertools.product(WORKERS, SEGMENTS)
        }
        rows = [[f"{n:,}", *(duration(found[n, s].seconds) for s in SEGMENTS)] for n in WORKERS]
        table(["workers", *(f"{s:,} frames" for s in SEGMENTS)], rows)
        print("## Of that, with segments of 250 frames\n")
        split = {n: found[n, 250].parts for n in WORKERS}
        rows = [[f"{n:,}", *map(duration, parts.values())] for n, parts in split.items()]
        table(["workers", *split[1]], rows)
        self.bars["one-film-parts"] = {
            f"{n:,}": {name: part / found[n, 250].seconds for name, part in parts.items()}
            for n, parts in split.items()
        }

    def joins(self) -> None:
        """What would it take if the join decoded nothing, or if there were none?"""
        kinds = {
            "verified by the join": self.costs,
            "not verified": replace(self.costs, join_frame=COPIED),
            "not joined": replace(self.costs, join=0.0, join_frame=0.0),
        }
        print("## The same by what the end is, with segments of 250\n")
        rows = [[kind, *map(duration, self._times(costs, 250))] for kind, costs in kinds.items()]
        table(["", *(f"{n:,} workers" for n in WORKERS)], rows)
        print("## The same without a join: what segments should be\n")
        columns = [self._times(kinds["not joined"], s) for s in SEGMENTS]
        rows = [[f"{n:,}", *map(duration, row)] for n, *row in zip(WORKERS, *columns, strict=True)]
        table(["workers", *(f"{s:,} frames" for s in SEGMENTS)], rows)
        lines = {f"{kind}, 250": (costs, 250) for kind, costs in kinds.items()}
        lines |= {f"not joined, {s:,}": (kinds["not joined"], s) for s in (25, 1_000)}
        self.curves["one-film"] = {
            name: list(zip(WORKERS, self._times(*line), strict=True))
            for name, line in lines.items()
        }

    def _times(self, costs: Costs, segment: int) -> list[float]:
        """Return how long the film takes with each number of workers."""
        return [simulate([FILM], Fleet(workers=n), costs, segment).seconds for n in WORKERS]

    def losses(self) -> None:
        """What do failures of machines cost, and which segment length suits them?"""
        print("## 100 workers that are lost so often an hour: their time over what frames need\n")
        rates = (0.02, 0.1, 0.5, 2.0)
        lengths = (*SEGMENTS, 5_000)
        rows, curves = [], {}
        for rate in rates:
            needed = FILM * self.costs.frame
            over = {s: self._paid(rate, s) / needed - 1 for s in lengths}
            rows.append([f"{rate:g}", *(f"{100 * x:.1f} %" for x in over.values())])
            curves[f"{rate:g} losses an hour"] = [(s, 100 * x) for s, x in over.items()]
        table(["losses", *(f"{s:,} frames" for s in lengths)], rows)
        self.curves["losses"] = curves

    def _paid(self, rate: float, segment: int) -> float:
        """Return the mean seconds that all workers together were present and not idle."""
        fleet = Fleet(workers=100, losses=rate)
        runs = [simulate([FILM], fleet, self.costs, segment, seed).spent for seed in range(AGAIN)]
        return sum(sum(s.values()) - s["idle"] - s.get("away", 0) for s in runs) / AGAIN

    def slow_machines(self) -> None:
        """What do slow machines cost, and what does computing segments twice save?"""
        print("## 2 % of segments take 5 times as long, machines differ by 10 %\n")
        rows = []
        for n in WORKERS[1:4]:
            fair = self._run([FILM], 250, workers=n)
            bad = {"workers": n, "stragglers": 0.02, "spread": 0.1}
            once = self._run([FILM], 250, **bad)
            twice = self._run([FILM], 250, **bad, twice=True)
            extra = twice.spent.get("twice", 0.0) / sum(twice.spent.values())
            rows.append([f"{n:,}", *(duration(o.seconds) for o in (fair, once, twice)),
                         f"{100 * extra:.1f} %"])  # fmt: skip
        table(["workers", "all alike", "not", "the last ones twice", "of the time for that"], rows)

    def many_films(self) -> None:
        """What limits a collection of films?"""
        films = collection(1_000, self.seed)
        print(f"## 1,000 films, {sum(films):,} frames, segments of 250: time until all are there\n")
        rows, curves = [], {}
        for joiners in (1, 8, 64, 512):
            found = [self._run(films, 250, workers=n, joiners=joiners) for n in WORKERS]
            rows.append([f"{joiners}", *(duration(o.seconds) for o in found)])
            curves[f"{joiners} joined at a time"] = [
                (n, o.seconds) for n, o in zip(WORKERS, found, strict=True)
            ]
        table(["joins at a time", *(f"{n:,} workers" for n in WORKERS)], rows)
        self.curves["collection"] = curves

    def driver(self) -> None:
        """When is the driver the bottleneck?"""
        films = collection(1_000, self.seed)
        print("## The same with 512 joins at a time: the driver's time a segment\n")
        rows = []
        for drive in (0.0, 0.002, 0.01, 0.05):
            costs = replace(self.costs, drive=drive)
            found = [simulate(films, Fleet(workers=n, joiners=512), costs, 250) for n in WORKERS]
            rows.append([f"{1000 * drive:g} ms", *(duration(o.seconds) for o in found)])
        table(["driver", *(f"{n:,} workers" for n in WORKERS)], rows)

    def all(self) -> None:
        """Answer all of them."""
        self.one_film()
        self.joins()
        self.losses()
        self.slow_machines()
        self.many_films()
        self.driver()


def pictures(study: Study, folder: Path) -> None:
    """Draw what was found."""
    line_chart(folder / "fleet-one-film.svg", study.curves["one-film"],
               title="A film of two hours, by frames a segment: time until it is there",
               x="workers", y="seconds")  # fmt: skip
    bar_chart(folder / "fleet-parts.svg", study.bars["one-film-parts"],
              title="A film of two hours, segments of 250: where the time goes",
              x="workers")  # fmt: skip
    line_chart(folder / "fleet-losses.svg", study.curves["losses"],
               title="100 workers: their time beyond what frames need",
               x="frames a segment", y="percent")  # fmt: skip
    line_chart(folder / "fleet-collection.svg", study.curves["collection"],
               title="1,000 films: time until all are there",
               x="workers", y="seconds")  # fmt: skip


def main() -> None:
    """Print all tables; draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    parser.add_argument("--frame", type=float, default=MEASURED.frame, help="seconds a frame")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    study = Study(replace(MEASURED, frame=given.frame), given.seed)
    print(f"costs: {study.costs}\n")
    study.all()
    if given.pictures:
        pictures(study, given.pictures)


if __name__ == "__main__":
    main()
