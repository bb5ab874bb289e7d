"""What becomes of finished segments: one file or folder, verified, under its name."""
