"""Colour of pictures: code points, tags, HDR metadata, and exact conversion to and from RGB."""
