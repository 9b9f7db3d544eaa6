"""Parameters, session and exhibits: what the cells of a notebook call."""

__all__ = ["exhibits", "parameters", "plans", "session"]
