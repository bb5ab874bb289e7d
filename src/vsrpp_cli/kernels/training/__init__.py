"""Kernels with gradients, for training on CPUs."""
