"""Who computes the stages of a network: torch, its compiler, or kernels of our own."""
