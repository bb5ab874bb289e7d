"""Deciding everything about a run before it begins."""
