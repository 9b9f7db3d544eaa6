"""Paths, errors, device and memory: used by every other package."""

__all__ = ["device", "errors", "files", "paths"]
