"""Ways to carry out the segments of a plan: one after another, or in several processes."""
