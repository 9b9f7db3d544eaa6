"""The repository's own promises: one list of dependencies, clean notebooks, valid parameter files."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from functools import partial
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lib.notebook import parameters, session
from lib.notebook.parameters import NOTEBOOKS as CHAPTERS
from lib.notebook.parameters import Plan
from lib.system import paths
from longtail_writeup import lab
from longtail_writeup.report import front

NOTEBOOKS = sorted(set(paths.NOTEBOOKS.glob("*.ipynb")) - {paths.NOTEBOOKS / "index.ipynb"})


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


def test_the_index_names_every_notebook_and_its_links_lead_to_files():
    cells = nbformat.read(paths.NOTEBOOKS / "index.ipynb", 4).cells
    links = [link for cell in cells for link in re.findall(r"\]\(([^)]+)\)", cell.source)]
    assert {path.name for path in NOTEBOOKS} <= set(links)
    assert [link for link in links if not (paths.NOTEBOOKS / link).is_file()] == []  # JupyterLab opens no folder


ROOMS = ["", ".data", ".training", ".runs", ".runs.sweep", ".analysis", ".notebook", ".system"]
#: Modules that cells call by their name.
CALLED = {"data": "", "models": "", "exhibits": ".notebook", "plans": ".notebook", "session": ".notebook"}
CALLED |= dict.fromkeys(["balancing", "claims", "logits", "original", "plots"], ".analysis")
CALLED |= dict.fromkeys(["prose", "statistics", "tables"], ".analysis")


@pytest.mark.parametrize("room", ROOMS)
def test_every_package_says_which_names_are_meant_for_people(room):
    package = importlib.import_module(f"lib{room}")
    for name in package.__all__:
        assert hasattr(package, name) or importlib.import_module(f"lib{room}.{name}")


@pytest.mark.parametrize("name", CALLED)
def test_tab_lists_what_notebooks_call_and_no_imports(name):
    cells = [cell for path in NOTEBOOKS for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    used = {called for cell in cells for called in re.findall(rf"\b{name}\.([a-zA-Z_]+)\(", cell.source)}
    listed = set(session.meant(importlib.import_module(f"lib{CALLED[name]}.{name}")))
    assert used <= listed
    assert used
    assert not {"np", "torch", "pd", "UserError", "Any", "Sequence", "Figure"} & listed


def test_tab_lists_what_is_meant_once_a_notebook_has_begun():
    code = (
        "from lib import losses; from lib.notebook import session\n"
        "headless, profile, dataset = True, 'quick', 'sample'; session.begin('explore', globals())\n"
        "print(*dir(losses))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, capture_output=True, text=True, check=True)
    assert {"focal", "LOSSES"} <= set(said.stdout.split())
    assert not {"torch", "partial", "UserError"} & set(said.stdout.split())


@pytest.fixture
def tracked(tmp_path):
    """A repository with a notebook as `make setup` and .gitattributes keep it, saved again with outputs."""
    setup = next(
        line
        for line in dry("-W", "pyproject.toml", f"BIN={Path(sys.executable).parent}", "setup").splitlines()
        if "git config" in line
    )
    (tmp_path / "notebooks").mkdir()
    for name in (".gitattributes", "notebooks/convnet.ipynb"):
        shutil.copy(paths.ROOT / name, tmp_path / name)
    run = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True, text=True)
    for command in ("git init", setup, "git add .", "git -c user.name=a -c user.email=a@b commit -m a"):
        run(command, shell=True)

    def save(name, change=lambda source: source):
        file = tmp_path / "notebooks" / name
        notebook = nbformat.read(paths.NOTEBOOKS / "convnet.ipynb", 4)
        notebook.metadata["language_info"] |= {
            "version": "3.11.2",
            "codemirror_mode": {"name": "ipython", "version": 3},
        }
        for cell in notebook.cells:
            cell.source = change(cell.source)
            if cell.cell_type == "code":
                cell.update(execution_count=1, outputs=[nbformat.v4.new_output("stream", text="said\n")])
                cell.metadata["jupyter"] = {"source_hidden": True}
        nbformat.write(notebook, file)
        lab.refresh(file)
        return run(["git", "status", "--porcelain"]).stdout.split()

    return save


def test_a_notebook_saved_with_outputs_is_no_change_for_git(tracked):
    assert tracked("convnet.ipynb") == []
    assert tracked("convnet.ipynb", lambda source: source.replace("epochs = 14", "epochs = 15")) == [
        "M",
        "notebooks/convnet.ipynb",
    ]
    assert tracked("convnet.ipynb") == []
    assert tracked("mine.ipynb") == ["??", "notebooks/mine.ipynb"]


#: The chapters of the profiles that this repository ships; people add their own.
SHIPPED = {
    "smoke": [*CHAPTERS],
    "quick": [*CHAPTERS],
    "writeup": [n for n in CHAPTERS if n != "methods"],
    "field": ["methods"],
}


@pytest.mark.parametrize("profile", SHIPPED)
def test_every_profile_is_valid(profile):
    planned = Plan.of(profile).values
    assert [*planned] == SHIPPED[profile]
    assert all(values["headless"] for values in planned.values())
    for name in planned:  # for Papermill, which does not know the folder
        assert yaml.safe_load((paths.PARAMS / profile / f"{name}.yaml").read_text())["profile"] == profile


def test_the_long_tail_and_the_sweep_share_their_cross_entropy_runs():
    """Else both would train it: the two files of a profile agree wherever they name the same parameter."""
    for profile in ("smoke", "quick", "writeup"):
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
    code = "import sys, longtail_writeup.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


VERSIONS = ["3.11", "3.12", "3.13"]  # the minor versions that were tried, 3.11 from 3.11.2


def test_the_python_versions_that_were_tried_are_those_that_are_promised():
    project, package = (
        tomllib.loads((paths.ROOT / folder / "pyproject.toml").read_text())["project"]
        for folder in ("", "packages/nbconvert-typst")
    )
    assert project["requires-python"] == package["requires-python"] == ">=3.11.2,<3.14"
    assert [c.rpartition(" ")[2] for c in project["classifiers"] if "Python ::" in c] == VERSIONS
    workflow = yaml.safe_load((paths.ROOT / ".github" / "workflows" / "test.yml").read_text())
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == VERSIONS
    assert "Python 3.11 (from 3.11.2), 3.12 or 3.13" in (paths.ROOT / "README.md").read_text()
    conda = yaml.safe_load((paths.ROOT / "environment.yml").read_text())["dependencies"]
    assert {f"python={version}" for version in VERSIONS} & set(map(str, conda))


def dry(*arguments, **environment):
    """Commands of the Makefile, as make passes them to a shell."""
    command = ["make", "--no-print-directory", "--dry-run", *arguments]
    return subprocess.run(
        command, cwd=paths.ROOT, env=os.environ | environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 11, 1), (3, 11, 2), (3, 12, 0), (3, 13, 9), (3, 14, 0)])
def test_setup_refuses_what_requires_python_refuses(version, monkeypatch):
    code = re.search(r"-c '(.*?)'", dry("--always-make", "setup"), re.DOTALL)[1]
    promised = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit) as ended:
        exec(code)
    monkeypatch.undo()
    name = ".".join(map(str, version))
    assert (not ended.value.code) == SpecifierSet(promised).contains(name), name
    assert not ended.value.code or f"not {name};" in ended.value.code


#: Settings of pip that send packages elsewhere, take others, or take none.
ELSEWHERE = {"USER": "1", "TARGET": "t", "PREFIX": "p", "ROOT": "r", "REQUIREMENT": "q", "NO_DEPS": "1", "DRY_RUN": "1"}
#: Settings that say where packages come from.
SOURCES = {"INDEX_URL": "u", "EXTRA_INDEX_URL": "e", "CERT": "c", "PROXY": "x", "FIND_LINKS": "l", "CONFIG_FILE": "f"}


def test_a_persons_pip_settings_choose_the_source_of_packages_and_nothing_else(tmp_path):
    """A Python that prints its environment takes the place of the one that pip would be started with."""
    python = tmp_path / "b in" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nenv | grep "^PIP_"\n')
    python.chmod(0o755)
    settings = {f"PIP_{name}": value for name, value in (ELSEWHERE | SOURCES | {"CONSTRAINT": "theirs.txt"}).items()}
    commands = dry("--always-make", f"BIN={shlex.quote(str(python.parent))}", "setup").splitlines()
    (pip,) = (command for command in commands if "pip install" in command)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    done = subprocess.run(pip, shell=True, env=clean | settings, capture_output=True, text=True, check=True)
    expected = {f"PIP_{name}": value for name, value in SOURCES.items()}
    expected |= {"PIP_USER": "0", "PIP_CONSTRAINT": "constraints.txt"}
    assert dict(line.split("=", 1) for line in done.stdout.splitlines()) == expected


@pytest.mark.parametrize("target", ["reproduce", "test-slurm"])
def test_a_checkout_may_have_spaces_in_its_path(target, tmp_path):
    """The name of the checkout in a target's command is one word to the shell."""
    checkout = tmp_path / "a b" / "ü $x"
    checkout.mkdir(parents=True)
    shutil.copy(paths.ROOT / "Makefile", checkout)
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / "tests").mkdir()
    for name in (".venv/bin/python", ".venv/bin/writeup", "tests/slurm.sh"):
        (checkout / name).write_text('#!/bin/sh\nprintf "%s\\n" "$WRITEUP_OUTPUTS" "$@" >> said\n')
        (checkout / name).chmod(0o755)
    subprocess.run(["make", "--silent", "--old-file=.venv/ready", target], cwd=checkout, check=True)
    said = (checkout / "said").read_text().splitlines()
    assert str(checkout / {"reproduce": "outputs/reproduced", "test-slurm": ".venv/bin"}[target]) in said


def test_a_persons_git_configuration_changes_no_file_and_no_line_of_a_report(tmp_path, monkeypatch):
    git = [shutil.which("git"), "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    (tmp_path / "attributes").write_text("*.ipynb filter=strip\n")
    (tmp_path / "config").write_text(
        f"[core]\nautocrlf=true\nabbrev=40\nattributesFile={tmp_path}/attributes\n[color]\nui=always\n[commit]\ngpgsign=true\n"
        '[filter "strip"]\nclean=true\nsmudge=true\nrequired=true\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    subprocess.run([*git, "init", "-q", "checkout"], check=True)
    git[-1] = str(tmp_path / "checkout")
    shutil.copy(paths.ROOT / ".gitattributes", tmp_path / "checkout")
    for name in ("a.py", "b.ipynb"):
        (tmp_path / "checkout" / name).write_bytes(b"1\n2\n")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "--no-gpg-sign", "-m", "one"], check=True)
    for name in ("a.py", "b.ipynb"):
        (tmp_path / "checkout" / name).unlink()
    subprocess.run([*git, "checkout", "-q", "."], check=True)
    assert [(tmp_path / "checkout" / name).read_bytes() for name in ("a.py", "b.ipynb")] == [b"1\n2\n"] * 2
    monkeypatch.setattr(paths, "ROOT", tmp_path / "checkout")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "of a hook"))
    assert re.fullmatch("[0-9a-f]{7}", dict(front.facts("smoke"))["Commit"])
    (paths.ROOT / "CITATION.cff").write_text("repository-code: https://git.example/writeup/\n")
    _, commit, address = front.facts("smoke")[1]
    assert address == f"https://git.example/writeup/commit/{commit}"
    monkeypatch.setattr(paths, "ROOT", tmp_path / "checkout" / "unpacked")
    paths.ROOT.mkdir()
    assert dict(front.facts("smoke"))["Commit"] == "not in a git checkout"  # not that of the folder around it


def test_the_snippet_of_the_readme_plots_the_newest_run(tmp_path):
    text = (paths.ROOT / "README.md").read_text()
    code = textwrap.dedent(re.search(r"Something of your own.*?\n\n((?:    .*\n)+)", text)[1])
    train = """
import matplotlib
from lib.experiment import Experiment
from lib.runs import sweep
fields = {"data": "sample", "model": "TwoLayerNet", "imbalance": "exponential", "factor": 0.02}
sweep.run([Experiment.make(epochs=2, **fields)], on_epoch=lambda *_: None)
"""
    check = "labels = matplotlib.pyplot.gcf().axes[0].get_legend_handles_labels()[1]\n"
    check += "print(record, [*record.frame().index], labels)"
    environment = os.environ | {"WRITEUP_OUTPUTS": str(tmp_path), "MPLBACKEND": "agg"}
    fresh = [sys.executable, "-c", "import matplotlib\n" + code + check]  # of what the repository keeps
    assert subprocess.run(fresh, env=environment, capture_output=True, text=True, cwd=tmp_path).returncode == 0
    command = [sys.executable, "-c", train + code + check]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert re.fullmatch(
        r"<Record \w{16} TwoLayerNet CE seed 0: test [\d.]+% at the last epoch> \[1, 2\] "
        r"\['train_loss', 'test_airplane', 'test_truck'\]\n",
        result.stdout,
    ), result
