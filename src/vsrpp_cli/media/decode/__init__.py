"""Reading video files: probing, scanning, decoding, repairing timestamps, finding cuts."""
