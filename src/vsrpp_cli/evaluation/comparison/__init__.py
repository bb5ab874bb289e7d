"""Two videos beside each other: as a picture, a video or a page."""
