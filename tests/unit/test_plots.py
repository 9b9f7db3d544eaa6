"""Text and panels of the figures, for data sets with any classes."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from test_findings import diagonal, record

from lib.analysis import plots

CLASSES = ("ant", "bee", "cat")


def titles(figure):
    plt.close(figure)
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_the_confusion_matrix_carries_the_names_of_its_classes():
    figure = plots.confusion(np.eye(3), CLASSES)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    plt.close(figure)
    assert labels == list(CLASSES)


def test_a_panel_for_every_class_of_a_sweep():
    rows = {"0 … 0.5": np.full((2, 3), 0.5), "0.9": np.full((5, 3), 0.5)}
    figure = plots.sweep_curves(rows, {"0 … 0.5": np.full((4, 3), 0.4), "0.9": np.empty((0, 3))}, CLASSES)
    assert titles(figure) == list(CLASSES)
    marks = figure.axes[0].get_lines()[-1]
    assert list(marks.get_xdata()) == [0, 0, 0, 0]  # every row of the original


def test_the_closing_table_has_a_panel_for_every_candidate():
    rows = {
        "rate 0.1, batch 2": {"CE": np.full((2, 3), 0.5), "CB-Focal": []},
        "rate 1, batch 2": {"CE": [], "CB-Focal": []},
    }
    figure = plots.closing_rows(rows, {"CE": [0.1] * 3, "CB-Focal": [0.2] * 3}, CLASSES)
    assert titles(figure) == ["rate 0.1\nbatch 2", "rate 1\nbatch 2"]


def test_several_settings_have_a_key():
    run = record([diagonal(700, classes=2)] * 2, counts=[90, 10])
    figure = plots.training([run.history] * 3, settings=["A", "B", "A"])
    plt.close(figure)
    keys = [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
    assert ["A", "B"] in keys
    lines = figure.axes[0].get_lines()
    assert str(lines[0].get_color()) == str(lines[4].get_color()) != str(lines[2].get_color())
    assert len(plots.training([run.history] * 2, settings=["A", "A"]).legends) == 1
    plt.close("all")


def test_training_accuracy_is_the_mean_over_the_classes():
    run = record([diagonal(700, classes=2)] * 2, counts=[90, 10])
    history = [e.model_copy(update={"train_hits": [90, 0], "train_accuracy": 0.9}) for e in run.history]
    for counts, expected in (([90, 10], 0.5), ((), 0.9)):
        figure = plots.training([history], counts=counts)
        line = figure.axes[1].get_lines()[0]
        plt.close(figure)
        assert list(line.get_ydata()) == [expected] * 2


@pytest.mark.parametrize("classes", [CLASSES, tuple("abcdefghij"), tuple("abcdefghijkl")])
def test_a_panel_for_every_class_of_the_learning_curves(classes):
    run = record([diagonal(700, classes=len(classes))] * 2, counts=[1] * len(classes))
    assert tuple(titles(plots.training([run.history], classes))) == classes
    assert titles(plots.training([run.history])) == [str(k) for k in range(len(classes))]


@pytest.mark.parametrize(("classes", "grid"), [(2, (1, 5)), (10, (2, 5)), (11, (3, 5)), (100, (10, 10))])
def test_panels_hold_every_class(classes, grid):
    assert plots.panels(classes) == grid


@pytest.mark.parametrize("number", [0, 1, 7])
def test_each_mistake_has_a_title(number):
    images = torch.zeros(number, 3, 8, 8, dtype=torch.uint8)
    figure = plots.mistakes(images, ["ant\n→ cat 50%"] * number)
    assert titles(figure) == ["ant\n→ cat 50%"] * number
