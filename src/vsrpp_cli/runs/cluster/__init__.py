"""Runs on a Ray cluster: workers on its nodes, and the driver, who alone commits."""
