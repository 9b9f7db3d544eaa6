"""From records to values, tables, plots and verdicts."""

__all__ = ["balancing", "claims", "curves", "methods", "original", "plots", "prose", "statistics", "tables"]
