"""Stored runs: the store, its index, sweeps over many experiments, and progress."""

__all__ = ["progress", "store", "sweep"]
