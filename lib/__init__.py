"""Library of the notebooks; imports nothing here, so that the command line prints its help without loading torch."""

__all__ = ["analysis", "data", "experiment", "losses", "models", "notebook", "runs", "training"]

__version__ = "0.2.0"
