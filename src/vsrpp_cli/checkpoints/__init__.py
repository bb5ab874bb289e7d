"""Which models there are, where their files come from, and how a file becomes a network."""
