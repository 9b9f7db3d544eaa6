"""Parameters are a contract: what is wrong is said before any kernel starts, naming key, file and what is allowed."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lib.notebook import parameters, session
from lib.system import paths
from lib.system.errors import UserError

CELL = """headless = False  # no person watches
profile = "quick"  # set of parameters
epochs = 3  # passes
rate = 0.1  # of learning
betas = [0.0, 0.9]  # to try
"""


@pytest.fixture
def example(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    file = tmp_path / "example.ipynb"
    cell = new_code_cell(CELL, metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[cell]), file)
    return file


def read(tmp_path, example, text):
    file = tmp_path / "set.yaml"
    file.write_text(text)
    return parameters.read(file, example)


def test_declared_parameters_have_default_and_meaning(example):
    declared = parameters.declared(example)
    assert list(declared) == ["headless", "profile", "epochs", "rate", "betas"]
    assert (declared["rate"].default, declared["rate"].meaning) == (0.1, "of learning")


def test_values_take_the_type_of_the_default(tmp_path, example):
    values = read(tmp_path, example, "rate: 1e-3\nbetas: [1e-1, 1]\nepochs: 5\nheadless: true")
    assert values == {"headless": True, "profile": "quick", "epochs": 5, "rate": 0.001, "betas": [0.1, 1.0]}
    assert [type(v) for v in values.values()] == [bool, str, int, float, list]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch: 3", r"set.yaml.*no parameter 'epoch'.*epochs"),
        ("epochs: 2.5", r"set.yaml: epochs has to be a whole number.*2.5"),
        ("epochs: true", r"epochs has to be a whole number.*True"),
        ("rate: fast", r"rate has to be a number.*'fast'"),
        ("betas: 0.9", r"betas has to be a list.*0.9"),
        ("betas: [0.9, x]", r"betas has to be a number.*'x'"),
        ("headless: 'yes'", r"headless has to be true or false.*'yes'"),
        ("profile: 3", r"profile has to be a text.*3"),
        ("- 3", r"set.yaml has to hold"),
        ("a: [", r"set.yaml is not valid YAML"),
        # values that only an experiment would refuse, after minutes of training perhaps
        ("epochs: 0", r"^\S+set.yaml: epochs: Input .*greater than or equal to 1, not 0"),
        ("betas: [0.5, 1.5]", r"set.yaml: betas: Input .*less than or equal to 1, not 1.5"),
        ("betas: []", r"set.yaml: betas has to have at least one value"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, example, text, said):
    with pytest.raises(UserError, match=said):
        read(tmp_path, example, text)


def test_a_missing_file_is_named(tmp_path, example):
    with pytest.raises(UserError, match=r"no parameter file .*nowhere.yaml"):
        parameters.read(tmp_path / "nowhere.yaml", example)


def test_a_line_that_is_no_literal_is_refused(tmp_path):
    cell = new_code_cell("epochs = 2 * 5  # passes", metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "bad.ipynb")
    with pytest.raises(UserError, match=r"not 'epochs = 2 \* 5"):
        parameters.declared(tmp_path / "bad.ipynb")


def executed(**names):
    """IPython's list of executed cells, with one in which Papermill has injected parameters."""
    return ["", "epochs = 3", "# Parameters\n" + "\n".join(f"{name} = {value!r}" for name, value in names.items())]


@pytest.mark.parametrize(
    ("name", "near"),
    [("epochz", "nearest one is epochs"), ("beta", "nearest one is betas"), ("data", "there are"), ("x", "there are")],
)
@pytest.mark.parametrize("headless", [True, False])
def test_a_notebook_refuses_an_unknown_parameter_also_one_that_an_import_has_hidden(example, headless, name, near):
    hidden = {name: pytest}  # as `from lib import data` hides a parameter of that name
    given = {"headless": headless, "profile": "quick", "In": executed(**{name: 4}), **hidden}
    with pytest.raises(UserError, match=rf"the parameters of example: .*no parameter '{name}'.*{near}"):
        session.begin("example", given)


def test_the_field_of_a_record_leads_to_the_parameter_that_sets_it():
    with pytest.raises(UserError, match=r"claims has no parameter 'data'; the nearest one is dataset"):
        parameters.check({"data": "cifar10"}, paths.NOTEBOOKS / "claims.ipynb", "here")


def test_other_variables_of_a_kernel_are_no_parameters(example):
    """Those of IPython's start-up files, of cells run before, and Papermill's own."""
    given = {"headless": True, "profile": "quick", "mine": 3, "beta": [1], "PAPERMILL_INPUT_PATH": "a.ipynb"}
    session.begin("example", given | {"In": executed(PAPERMILL_INPUT_PATH="a.ipynb", epochs=3)})


def test_a_profile_without_a_folder_is_refused_at_the_start(example):
    with pytest.raises(UserError, match=r"no profile 'foo'; known profiles: .*smoke"):
        session.begin("example", {"headless": True, "profile": "foo"})


def test_values_that_are_repeated_count_once_but_for_the_steps_of_a_schedule(tmp_path, example):
    assert read(tmp_path, example, "betas: [0.9, 0.0, 9e-1, 0.0]")["betas"] == [0.9, 0.0]
    kept = parameters.check({"steps": [6, 6]}, paths.ROOT / "notebooks" / "convnet.ipynb", "here")
    assert kept["steps"] == [6, 6]


def test_begin_normalises_values_in_place(example):
    given = {"headless": True, "profile": "quick", "epochs": "4", "rate": "1e-2"}
    here = session.begin("example", given)
    assert (given["epochs"], given["rate"]) == (4, 0.01)
    assert here.origin == "notebooks/example.ipynb"


def test_the_origin_of_runs_names_the_parameter_file_and_what_differs_from_it(example, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    file = tmp_path / "mine" / "example.yaml"
    file.parent.mkdir()
    file.write_text("epochs: 5")
    given = {"headless": True, "profile": "mine", "epochs": 5, "rate": 0.1, "betas": [0.0, 0.9]}
    assert session.begin("example", dict(given)).origin == f"{file}"
    assert session.begin("example", given | {"rate": 0.2}).origin == f"{file} with rate=0.2"


def test_running_the_first_cell_again_does_not_mistake_later_variables_for_parameters(example):
    namespace = {"headless": False, "profile": "quick"}
    session.begin("example", namespace)
    session.begin("example", namespace | {"counts": [1, 2]})
