"""The Python API: models that are loaded once, frames of several kinds, whole runs with a bar."""
