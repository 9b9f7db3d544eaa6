"""Library of the notebooks: data, models, losses, training, records, analysis and the report.

The folders build on each other in one direction (CONTRIBUTING.md). This file imports
nothing, so that the command line can print its help without loading torch.
"""

__version__ = "0.2.0"
