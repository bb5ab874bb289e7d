"""Everything that touches media files; PyAV lives here and nowhere else."""
