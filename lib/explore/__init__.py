"""The panels of notebooks/explore.ipynb: interactive with widgets, or drawn once at their defaults if headless."""

from lib.explore.imbalance import longtail, loss
from lib.explore.mistakes import mistakes
from lib.explore.runs import runs
from lib.explore.tryout import tryout

__all__ = ["longtail", "loss", "mistakes", "runs", "tryout"]
