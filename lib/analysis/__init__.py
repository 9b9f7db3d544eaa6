"""From records to values, tables, plots and verdicts."""
