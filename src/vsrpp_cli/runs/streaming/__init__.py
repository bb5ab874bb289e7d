"""Runs whose frames go through as they come: pipes in and out, no plan, no resume."""
