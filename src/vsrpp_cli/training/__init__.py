"""Training and fine-tuning, from ordinary videos to a checkpoint."""
