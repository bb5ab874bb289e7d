"""Options: what is taken in which form, and what is refused with which name."""

from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from vsrpp_cli.errors import UsageError
from vsrpp_cli.options import UpscaleOptions


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"start": "0:01"}, Fraction(1)),
        ({"end": "1:23.5"}, Fraction(167, 2)),
        ({"start": 1.5}, Fraction(3, 2)),
        ({"scale": "2"}, Fraction(2)),
        ({"scale": 2}, Fraction(2)),
        ({"fps": 29.97}, Fraction(2997, 100)),
        ({"fps": "30000/1001"}, Fraction(30000, 1001)),
        ({"tile": 256}, "256"),
        ({"memory_limit": "8G"}, 8 << 30),
        ({"memory_limit": 1 << 30}, 1 << 30),
        ({"model": Path("weights.pth")}, "weights.pth"),
        ({"encoder_options": {"tune": "film", "bf": 2}}, (("tune", "film"), ("bf", "2"))),
        ({"encoder_options": [("tune", "film")]}, (("tune", "film"),)),
    ],
)
def test_numbers_times_and_sizes_are_taken_in_the_forms_people_write(given, kept):
    (name,) = given
    options = UpscaleOptions(**given)
    assert getattr(options, name) == kept
    assert type(getattr(options, name)) is type(kept)
    assert replace(options, strict=True) == replace(UpscaleOptions(**{name: kept}), strict=True)
    assert hash(deepcopy(options)) == hash(options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scale": "twice"}, "`scale` 'twice': not a number"),
        ({"start": "one"}, "`start` 'one': not a number"),
        ({"memory_limit": "8 apples"}, "`memory_limit` '8 apples': not a number"),
        ({"chunk": "9"}, "`chunk` '9': must be a whole number or None, not str"),
        ({"chunk": 9.0}, "`chunk` 9.0: must be a whole number or None, not float"),
        ({"threads": True}, "`threads` True: must be a whole number or None, not bool"),
        ({"audio": "no"}, "`audio` 'no': must be True or False, not str"),
        ({"crf": "18"}, "`crf` '18': must be a number or None, not str"),
        ({"codec": 264}, "`codec` 264: must be text or None, not int"),
        ({"model": 4}, "`model` 4: must be a name or a path"),
        ({"work_dir": 4}, "`work_dir` 4: must be text or a path or None, not int"),
        ({"encoder_options": "tune=film"}, "`encoder_options` 'tune=film': must be a dictionary"),
    ],
)
def test_values_of_another_kind_are_refused_with_the_parameter_s_name(given, message):
    with pytest.raises(UsageError) as caught:
        UpscaleOptions(**given)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("crf", [-1, 99])
def test_a_quality_beyond_the_scale_is_refused_where_it_is_given(crf):
    with pytest.raises(UsageError, match=f"crf.*{crf}.*from 0 .best. to 51"):
        UpscaleOptions(crf=crf)
