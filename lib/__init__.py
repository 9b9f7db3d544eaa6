"""What the notebooks call: data, models, losses, training, records, figures and the report.

The rooms build on each other in one direction (see "Where things are" in the README). This file imports
nothing, so that the command line can print its help without loading torch.
"""

__version__ = "0.2.0"
