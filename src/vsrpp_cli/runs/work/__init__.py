"""The durable part of a run: segments, their journal, and the folder they stand in."""
