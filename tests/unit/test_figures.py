"""What is written into the figures."""

import matplotlib.pyplot as plt
import numpy as np

from lib.analysis import plots


def test_the_map_of_the_sweep_has_a_dash_where_nothing_was_published():
    reproduced, published = np.full((2, 10), 0.253), np.full((2, 10), 0.9)
    published[1] = np.nan
    figure = plots.sweep_heatmap([0.5, 0.999], reproduced, published)
    written = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    plt.close(figure)
    assert written == [["25"] * 20, ["90"] * 10 + ["–"] * 10]
