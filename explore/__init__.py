"""The panels of notebooks/explore.ipynb."""

from types import SimpleNamespace

from IPython.display import display

from explore import page
from explore.imbalance import longtail, loss
from explore.mistakes import mistakes
from explore.runs import runs
from explore.tryout import tryout
from lib.notebook import exhibits


def panels(headless: bool) -> SimpleNamespace:
    """Return the panels by name; headless ones build no widgets, and one sentence is shown in place of all."""
    named = {panel.__name__: panel for panel in (longtail, loss, runs, mistakes, tryout)}
    if headless:
        exhibits.text("The panels of this notebook need a page with widgets; set headless = False.")
        named = dict.fromkeys(named, lambda *_: None)
    else:
        display(page.Access())
    return SimpleNamespace(**named)
