"""A network run over a long clip chunk by chunk, its state carried from each to the next."""
