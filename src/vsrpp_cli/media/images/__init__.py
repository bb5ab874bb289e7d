"""Image files and folders of frames, as input and as output."""
