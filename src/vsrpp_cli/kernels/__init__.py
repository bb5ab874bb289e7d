"""Compiled kernels for CPUs: vector instructions, convolutions, sampling; arrays, not networks."""
