"""`vsrpp doctor`, for people and for programs."""

import json

import pytest

from support.commands import vsrpp
from vsrpp_cli.cli.commands import doctor
from vsrpp_cli.cli.main import execute


@pytest.fixture(scope="module")
def facts():
    return json.loads(vsrpp("doctor", "--json", check=0, cold=True).stdout)


def test_it_names_versions_machine_devices_and_places(facts):
    assert facts["schema"] == doctor.SCHEMA
    assert facts["versions"]["vsrpp"]
    assert facts["machine"]["memory"] > facts["machine"]["memory_of_a_run"] > 2**28
    assert facts["devices"]["cpu"]["precision"] in ("fp32", "bf16")
    assert all(place["free"] > 0 for place in facts["places"].values())


def test_encoders_are_tried_and_those_that_fail_say_why_without_their_options(facts):
    assert facts["encoders"]["libx264"]["works"]
    for name, encoder in facts["encoders"].items():
        assert encoder["works"] == (not encoder["error"])
        assert encoder["works"] or encoder["hardware"], name
        assert "chroma_sample_location" not in encoder["error"]


def test_a_machine_without_gpu_says_why(facts):
    assert ("cuda:0" in facts["devices"] or "mps" in facts["devices"]) != bool(facts["no_gpu"])


def test_people_read_what_is_wrong_with_an_encoder_once(facts):
    for name, encoder in facts["encoders"].items():
        if not encoder["works"]:
            text = doctor._encoder_text(name, **encoder)
            assert "this machine" in text
            assert "doctor" not in text
            assert name not in text


def test_people_see_the_same(facts, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda: {k: facts[k] for k in facts if k != "schema"})
    assert execute(["doctor"]) == 0
    said = capsys.readouterr().out
    for part in (facts["versions"]["torch"], facts["devices"]["cpu"]["name"], *facts["no_gpu"]):
        assert part in said
    assert "libx264            h264 into mp4" in said
