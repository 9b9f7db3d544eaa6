"""Paths, errors, device and memory: used by every other package."""
