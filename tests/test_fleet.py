"""The simulation of fleets: what must hold of it whatever the costs are."""

import math
import sys
import xml.etree.ElementTree as ET

import pytest

from support.benchmarks import script
from support.places import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))  # the scripts there import each other
fleet = script("fleet")
Fleet, simulate = fleet.Fleet, fleet.simulate

COSTS = fleet.Costs(
    start=10.0, segment=2.0, frame=0.5, join=3.0, join_frame=0.01, drive=0.25, frame_bytes=1000
)


def test_one_worker_does_one_thing_after_the_other():
    found = simulate([100, 30], Fleet(workers=1, bandwidth=4000), COSTS, segment=50)
    computed = 10 + 3 * (0.25 + 2) + 130 * (0.5 + 0.25)
    assert found.computed == pytest.approx(computed)
    assert found.seconds == pytest.approx(computed + 3 + 0.3)
    assert sum(found.parts.values()) == pytest.approx(found.seconds)
    assert found.spent["frames"] == pytest.approx(65)


def test_as_many_workers_as_segments_take_as_long_as_one_segment():
    costs = fleet.replace(COSTS, drive=0.0)
    found = simulate([400], Fleet(workers=4, bandwidth=math.inf), costs, segment=100)
    assert found.computed == pytest.approx(10 + 2 + 50)
    more = simulate([400], Fleet(workers=1000, bandwidth=math.inf), costs, segment=100)
    assert more == found


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_lost_every_frame_is_computed_and_all_time_is_accounted_for(seed, twice):
    hard = Fleet(workers=7, losses=20, spread=0.3, stragglers=0.2, twice=twice)
    found = simulate([2000, 10, 777], hard, COSTS, segment=100, seed=seed)
    assert found.spent["frames"] == pytest.approx(2787 * 0.5)
    assert found.spent["lost"] > 0
    assert found.spent["idle"] >= 0
    assert found.seconds > simulate([2000, 10, 777], Fleet(workers=7), COSTS, 100).seconds


def test_doing_the_last_ones_twice_shortens_a_tail_of_stragglers():
    slow = {"workers": 50, "stragglers": 0.05, "slowdown": 20}
    once, twice = (
        simulate([5000], Fleet(**slow, twice=again), COSTS, segment=100) for again in (False, True)
    )
    assert once.spent.get("twice", 0) == 0
    assert twice.spent["twice"] > 0
    assert twice.seconds < once.seconds / 2


def test_a_driver_hands_out_one_segment_at_a_time():
    found = simulate([1000], Fleet(workers=1000), COSTS, segment=1)
    assert found.computed >= 1000 * COSTS.drive


def test_films_wait_for_who_joins_them():
    films = [100] * 20
    one, many = (
        simulate(films, Fleet(workers=100, joiners=joiners), COSTS, segment=100)
        for joiners in (1, 20)
    )
    assert one.seconds - 20 * (3 + 1) == pytest.approx(many.seconds - (3 + 1), abs=20 * 0.25)


def test_pictures_show_every_line_and_bar(tmp_path):
    charts = script("charts")
    lines = {"one": [(1, 10.0), (100, 2.0)], "other": [(1, 30.0), (100, 0.5)]}
    charts.line_chart(tmp_path / "a.svg", lines, title="t", x="x", y="y")
    charts.bar_chart(tmp_path / "b.svg", {"1": {"p": 0.25, "q": 0.75}}, title="t", x="x")
    space = "{http://www.w3.org/2000/svg}"
    assert len(list(ET.parse(tmp_path / "a.svg").iter(f"{space}polyline"))) == 2
    heights = [float(r.get("height")) for r in ET.parse(tmp_path / "b.svg").iter(f"{space}rect")
               if r.get("fill") in charts.COLORS]  # fmt: skip
    assert heights[:2] == [70.0, 210.0]
