"""Choosing and driving encoders, and writing one segment."""
