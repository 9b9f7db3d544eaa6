"""The panels of notebooks/explore.ipynb: with widgets for a person, drawn once at their defaults otherwise."""

from lib.explore.longtail import longtail
from lib.explore.loss import loss
from lib.explore.mistakes import mistakes
from lib.explore.runs import runs
from lib.explore.tryout import tryout

__all__ = ["longtail", "loss", "mistakes", "runs", "tryout"]
