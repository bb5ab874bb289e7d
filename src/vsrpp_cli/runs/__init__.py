"""A whole run: plan, journal, segments, join, verification and the final rename."""
