"""Where what a chunk makes is kept until it can leave."""
