"""From records to values, tables, plots and verdicts."""

__all__ = ["claims", "curves", "findings", "original", "plots", "prose", "statistics", "tables"]
