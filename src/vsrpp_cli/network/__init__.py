"""BasicVSR++ as published (arXiv 2104.13371) and its fast kernels: modules without I/O or state."""
