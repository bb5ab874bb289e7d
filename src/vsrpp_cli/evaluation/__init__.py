"""Measuring models the way the paper does."""
