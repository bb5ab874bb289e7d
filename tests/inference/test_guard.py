import pytest
import torch

from vsrpp_cli.inference.guard import Guard, look


def _frames(level=0.5):
    return torch.full((3, 32, 32), level), torch.full((3, 8, 8), level)


def _fault(output, given, guard=None):
    """Return what a guard finds in a frame that is alone in its batch."""
    return (guard or Guard()).fault(look(output[None], given[None])[0])


def test_a_good_frame_is_let_through():
    assert _fault(*_frames()) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_single_value_that_is_no_number_is_noticed(value):
    output, given = _frames()
    output[1, 3, 4] = value
    assert "not numbers" in _fault(output, given)


def test_black_from_what_is_not_is_noticed():
    _, given = _frames()
    assert "black" in _fault(torch.zeros(3, 32, 32) - 0.1, given)


def test_black_from_black_is_right():
    assert _fault(torch.zeros(3, 32, 32), torch.full((3, 8, 8), 0.005)) is None


def test_a_dark_frame_with_a_light_is_not_black():
    output = torch.zeros(3, 64, 64)
    output[:, 5, 5] = 0.9
    assert _fault(output, torch.full((3, 16, 16), 0.02)) is None


def test_a_shift_of_color_is_told_by_channel():
    guard = Guard()
    output, given = _frames()
    output[0] += 0.2
    _fault(output, given, guard)
    assert guard.drift() == pytest.approx([0.2, 0, 0], abs=1e-5)


def test_no_shift_is_no_drift():
    guard = Guard()
    assert guard.drift() is None
    _fault(*_frames(), guard)
    assert guard.drift() is None


def test_each_frame_of_a_batch_is_judged_by_its_own_values():
    good, given = _frames()
    broken = good.clone()
    broken[1, 3, 4] = float("nan")
    dark = torch.zeros(3, 32, 32)
    facts = look(torch.stack([good, broken, dark]), torch.stack([given] * 3))
    faults = [Guard().fault(row) for row in facts]
    assert faults[0] is None
    assert "not numbers" in faults[1]
    assert "black" in faults[2]
