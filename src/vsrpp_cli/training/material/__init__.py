"""What is trained on: material packed, drawn, rendered and degraded."""
