"""Events of `--progress json`, held against `docs/events.schema.json`."""

import json

import jsonschema

from support.places import ROOT

SCHEMA = json.loads((ROOT / "docs" / "events.schema.json").read_text())


def _closed(schema):
    """Return a schema that also refuses what it does not name."""
    if not isinstance(schema, dict):
        return schema
    closed = {
        key: [_closed(item) for item in value]
        if isinstance(value, list)
        else {name: _closed(item) for name, item in value.items()}
        if key in ("properties", "$defs")
        else _closed(value)
        for key, value in schema.items()
    }
    if "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


jsonschema.Draft202012Validator.check_schema(SCHEMA)
OPEN = jsonschema.Draft202012Validator(SCHEMA)
CLOSED = jsonschema.Draft202012Validator({**SCHEMA, "$defs": _closed(SCHEMA["$defs"])})


def events_of(text):
    """Return the events of a command's stderr, each as the schema says, nothing left unsaid."""
    events = [json.loads(line, parse_constant=_refuse) for line in text.splitlines()]
    for event in events:
        CLOSED.validate(event)
    return events


def _refuse(name):
    raise AssertionError(f"{name} is no JSON")


def assert_events(events, last):
    """Assert that events begin with `start` and end with `last`, with no other ending.

    Only of a command line that cannot be read is there nothing but an error.
    """
    names = [event["event"] for event in events]
    assert names[0] == "start" or names == ["error"]
    assert [name for name in names if name in ("result", "error")] == [last]
    assert names[-1] == last
