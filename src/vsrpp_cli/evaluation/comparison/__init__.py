"""Videos side by side: as a picture, a video or a page."""
