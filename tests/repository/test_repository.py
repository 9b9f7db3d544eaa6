"""The repository's own promises: one list of dependencies, clean notebooks, valid parameter files."""

import subprocess
import sys
import tomllib

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lib.notebook import parameters
from lib.notebook.parameters import NOTEBOOKS as CHAPTERS
from lib.notebook.parameters import Plan
from lib.system import paths

NOTEBOOKS = sorted(paths.NOTEBOOKS.glob("*.ipynb"))


def pins(lines):
    found = (line.partition("==") for line in lines if "==" in line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, _, version in found}


@pytest.fixture(scope="module")
def constraints():
    return pins((paths.ROOT / "constraints.txt").read_text().splitlines())


@pytest.fixture(scope="module")
def requirements():
    """Requirements of both distributions, each other left out."""
    project, package = (
        tomllib.loads((paths.ROOT / folder / "pyproject.toml").read_text())["project"]
        for folder in ("", "packages/nbconvert-typst")
    )
    lines = project["dependencies"] + project["optional-dependencies"]["dev"] + package["dependencies"]
    return [r for r in map(Requirement, lines) if r.name != package["name"]]


def test_environment_yml_lists_the_dependencies_of_pyproject_with_the_tested_versions(requirements, constraints):
    conda = yaml.safe_load((paths.ROOT / "environment.yml").read_text())
    pip = next(item["pip"] for item in conda["dependencies"] if isinstance(item, dict))
    listed = pins(pip)
    assert set(listed) == {canonicalize_name(r.name) for r in requirements}
    assert {name: constraints[name] for name in listed} == listed
    assert {"--editable .", "--editable packages/nbconvert-typst"} <= set(pip)
    assert "--constraint constraints.txt" in pip


def test_the_tested_versions_satisfy_pyproject(requirements, constraints):
    unsatisfied = [r for r in requirements if not r.specifier.contains(constraints[canonicalize_name(r.name)])]
    assert unsatisfied == []


def test_constraints_hold_for_cpu_and_cuda_builds(constraints):
    assert constraints["torch"] == "2.13.0"
    assert constraints["torchvision"] == "0.28.0"
    assert not [name for name, version in constraints.items() if "+" in version or name.startswith("nvidia")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_stored_without_outputs(path):
    code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert not [cell for cell in code if cell.outputs or cell.execution_count]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_read_as_prose_with_short_cells(path):
    cells = nbformat.read(path, 4).cells
    code = [c for c in cells if c.cell_type == "code" and "parameters" not in c.metadata.get("tags", [])]
    assert max(len(c.source.splitlines()) for c in code) <= 25
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_parameter_has_a_meaning_and_is_seen_by_papermill(path):
    from papermill import inspect_notebook

    declared = parameters.declared(path)
    assert all(p.meaning for p in declared.values())
    assert set(inspect_notebook(str(path))) == set(declared)


SHIPPED = ("smoke", "quick", "writeup")  # people add their own


@pytest.mark.parametrize("profile", SHIPPED)
def test_every_profile_is_valid(profile):
    planned = Plan.of(profile).values
    assert set(planned) == set(CHAPTERS)
    assert all(values["headless"] for values in planned.values())
    for name in planned:  # for Papermill, which does not know the folder
        assert yaml.safe_load((paths.PARAMS / profile / f"{name}.yaml").read_text())["profile"] == profile


def test_the_long_tail_and_the_sweep_share_their_cross_entropy_runs():
    """Else both would train it: the two files of a profile agree wherever they name the same parameter."""
    for profile in SHIPPED:
        planned = Plan.of(profile).values
        wrangling, sweep = planned["data_wrangling"], planned["beta_sweep"]
        assert {k: v for k, v in sweep.items() if k in wrangling} == wrangling


def test_the_quick_profile_is_what_the_notebooks_hold_by_default():
    """Run All in JupyterLab then finds the runs that `make report` stored."""
    for name, values in Plan.of("quick").values.items():
        declared = parameters.declared(paths.NOTEBOOKS / f"{name}.ipynb")
        differing = [key for key, value in values.items() if key != "headless" and value != declared[key].default]
        assert differing == []


def test_help_does_not_load_torch():
    code = "import sys, writeup.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
