"""Stored runs: the store, its index, sweeps over many experiments, and progress."""
