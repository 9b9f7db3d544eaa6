"""Paths, errors, device and memory: what every other room stands on."""
