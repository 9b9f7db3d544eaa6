"""The whole way on the shipped sample: parameter files through Papermill to the report, as a user would run it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lib.notebook import parameters
from lib.notebook import parameters as planning
from lib.notebook.parameters import NOTEBOOKS
from lib.system import files, paths
from lib.system.errors import UserError
from longtail_writeup import publish as publishing
from longtail_writeup.__main__ import app as command_line
from longtail_writeup.report import runner
from longtail_writeup.report.document import exhibits

WIDGET = "application/vnd.jupyter.widget-view+json"


def run(*command, outputs, cwd=None, **environment):
    """A command of the repository's environment, with everything it produces in `outputs`."""
    env = os.environ | {"WRITEUP_OUTPUTS": str(outputs)} | environment
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def report(outputs, *options):
    return run(sys.executable, "-m", "lib", "report", "--profile", "smoke", *options, outputs=outputs)


#: Files where a person works, and settings of the person: none of them may reach a report.
HOSTILE = {
    "lib/__init__.py": "",
    **{f"{name}.py": "raise SystemExit('the working directory is imported')" for name in ("random", "yaml", "explore")},
    "matplotlibrc": "text.usetex: True\nfont.size: 40\nlines.linewidth: 9\n",
    "ipython/profile_default/startup/mine.py": "import numpy as np\nmine, beta, seed = 3, 9, 77\n",
    "ipython/profile_default/ipython_config.py": "raise SystemExit('IPython is configured')",
    "startup.py": "raise SystemExit('a start-up file is executed')",
}


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The smoke profile, executed once, in a hostile place: its outputs folder and what the command said."""
    outputs, place = tmp_path_factory.mktemp("outputs"), tmp_path_factory.mktemp("place")
    for name, text in HOSTILE.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    settings = {"IPYTHONDIR": str(place / "ipython"), "PYTHONSTARTUP": str(place / "startup.py")}
    settings |= {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}  # what a terminal may be
    if str(paths.ROOT).isascii():  # else Python could not name the files of this checkout
        settings |= {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = os.path.join(os.path.dirname(sys.executable), "writeup")
    return outputs, run(command, "report", "--profile", "smoke", outputs=outputs, cwd=place, **settings)


def test_the_smoke_profile_ends_well_with_both_reports(smoke):
    outputs, result = smoke
    assert result.returncode == 0, result.stderr
    assert (outputs / "smoke" / "report.pdf").read_bytes().startswith(b"%PDF")
    html = (outputs / "smoke" / "report.html").read_text()
    assert "Further results" in html
    assert "This report departs from the original settings" in html


def test_a_log_gets_at_most_one_line_per_epoch(smoke):
    lines = [line for line in smoke[1].stdout.splitlines() if "epoch" in line]
    assert lines
    assert len(lines) == len(set(lines))
    assert "images/s" in lines[0]
    assert "left" in lines[0]
    assert "\x1b" not in smoke[1].stdout


def test_executed_notebooks_are_whole_and_in_order(smoke):
    for path in sorted((smoke[0] / "smoke").glob("*.ipynb")):
        code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        outputs = [output for cell in code for output in cell.outputs]
        assert not [o for o in outputs if o.output_type == "error" or WIDGET in o.get("data", {})]


def test_each_figure_leads_to_its_records_and_each_record_to_its_parameter_file(smoke):
    outputs, _ = smoke
    for path in (outputs / "smoke").glob("*.ipynb"):
        shown = exhibits(nbformat.read(path, 4))
        assert path.stem == "claims" or [note for note in shown if note["runs"]]  # no claim is tested on the sample
        for note in shown:
            for key in note["runs"]:
                record = json.loads((outputs / "runs" / key / "record.json").read_text())["record"]
                assert (paths.ROOT / record["origin"]).is_file()


@pytest.fixture(scope="module")
def published(smoke, tmp_path_factory):
    """The smoke profile as the repository would keep it: the folder of published profiles, and the README."""
    outputs, _ = smoke
    target = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "OUTPUTS", outputs)
        patch.setattr(paths, "RUNS", outputs / "runs")
        patch.setattr(paths, "PUBLISHED", target)
        patch.setattr(publishing, "README", target / "README.md")
        shutil.copy(paths.ROOT / "README.md", target)
        publishing.publish("smoke")
    return target


def test_what_is_published_is_the_report_its_notebooks_and_its_records(smoke, published):
    kept = {p.name for p in (published / "smoke").iterdir()}
    assert kept == {"report.html", "report.pdf", "closing_rows.svg", "runs", *(f"{n}.ipynb" for n in NOTEBOOKS)}
    used = {note for n in NOTEBOOKS for note in runs_of(published / "smoke" / f"{n}.ipynb")}
    assert {p.name for p in (published / "smoke" / "runs").iterdir()} == used
    assert len(list(published.glob("smoke/runs/*/best.safetensors"))) == 1  # of the network whose mistakes are shown
    for name in NOTEBOOKS:  # no path of the machine that executed it
        assert str(paths.NOTEBOOKS) not in (published / "smoke" / f"{name}.ipynb").read_text()
    readme = (published / "README.md").read_text()
    assert "- **Long tail, cross-entropy:** " in readme
    assert "What the *smoke* profile found" in readme


def test_the_origins_lead_to_the_record_of_each_run_here_and_where_it_is_published(smoke, published):
    for folder in (smoke[0] / "smoke", published / "smoke"):
        linked = re.findall(r'href="([^"]*/record\.json)"', (folder / "report.html").read_text())
        assert {(folder / address).parent.name for address in linked} == {
            key for name in NOTEBOOKS for key in runs_of(folder / f"{name}.ipynb")
        }
        assert all((folder / address).is_file() for address in linked)


def runs_of(notebook):
    return {key for note in exhibits(nbformat.read(notebook, 4)) for key in note["runs"]}


def figures_of(notebook):
    """The pictures of an executed notebook by their name and the runs that they show."""
    shown = exhibits(nbformat.read(notebook, 4))
    return {(note["name"], *note["runs"]): note["data"]["image/svg+xml"] for note in shown if note["kind"] == "figure"}


def test_a_report_is_made_of_what_is_published_without_training(published, tmp_path, monkeypatch, capsys):
    use(tmp_path, monkeypatch)
    monkeypatch.setenv("WRITEUP_PUBLISHED", str(published))
    monkeypatch.setattr(paths, "PUBLISHED", published)
    options = ["report", "--profile", "smoke", "-p", "runs=published"]
    assert command_line(options, standalone_mode=False) is None
    assert "epoch" not in capsys.readouterr().out
    assert not list(tmp_path.glob("runs/*/record.json"))
    for name in NOTEBOOKS:
        own, kept = (runs_of(folder / "smoke" / f"{name}.ipynb") for folder in (tmp_path, published))
        assert own >= kept  # and the fresh seeds of the same settings
        shown, before = (figures_of(folder / "smoke" / f"{name}.ipynb") for folder in (tmp_path, published))
        assert (shown.keys() & before.keys()) or name in ("settings", "ablations", "claims")
        assert all(shown[figure] == before[figure] for figure in shown.keys() & before.keys())
    assert "nothing was trained for this report" in (tmp_path / "smoke" / "report.html").read_text()


def used(report):
    """Peak memory in GB by notebook, as a report's last table says."""
    row = r"<td[^>]*>(\w+)</td>\s*<td[^>]*>\d+ s</td>\s*<td[^>]*>([\d.]+) GB</td>"
    return dict(re.findall(row, report.read_text()))


def test_a_second_time_loads_what_is_stored(smoke, tmp_path, monkeypatch, capsys):
    shutil.copytree(smoke[0], tmp_path / "outputs")
    use(tmp_path / "outputs", monkeypatch)
    few = {"convnet", "beta_sweep", "methods"}  # a profile has the chapters for which it has a file
    shutil.copytree(paths.PARAMS, tmp_path / "params")
    for name in set(NOTEBOOKS) - few:
        (tmp_path / "params" / "smoke" / f"{name}.yaml").unlink()
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params")
    before = {p: p.stat().st_mtime_ns for p in paths.RUNS.glob("*/*")}
    assert runner.report("smoke")
    assert "epoch" not in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in paths.RUNS.glob("*/*")} == before
    ledger = used(paths.OUTPUTS / "smoke" / "report.html")
    assert set(ledger) == few
    assert all(0.2 < float(gigabytes) < 10 for gigabytes in ledger.values())  # a kernel with torch holds some 400 MB


def test_what_is_not_published_is_said_and_not_trained(published, tmp_path):
    few = tmp_path / "few"
    shutil.copytree(published, few)
    searched, swept = (runs_of(few / "smoke" / f"{name}.ipynb") for name in ("settings", "beta_sweep"))
    for key in searched - swept:
        shutil.rmtree(few / "smoke" / "runs" / key)
    result = run(
        *(sys.executable, "-m", "papermill", paths.NOTEBOOKS / "settings.ipynb", tmp_path / "out.ipynb"),
        *("-f", paths.PARAMS / "smoke" / "settings.yaml", "-p", "runs", "published"),
        outputs=tmp_path / "outputs",
        WRITEUP_PUBLISHED=str(few),
    )
    assert result.returncode == 0, result.stderr
    assert not list(tmp_path.glob("outputs/runs/*/record.json"))
    assert "**Not run yet,**" in (tmp_path / "out.ipynb").read_text()
    assert runs_of(tmp_path / "out.ipynb") >= searched & swept
    assert not runs_of(tmp_path / "out.ipynb") & (searched - swept)


def test_papermill_runs_a_notebook_from_any_working_directory(smoke, tmp_path):
    outputs, _ = smoke
    result = run(
        *(sys.executable, "-m", "papermill", paths.NOTEBOOKS / "data_wrangling.ipynb", "out.ipynb"),
        *("-f", paths.PARAMS / "smoke" / "data_wrangling.yaml", "-p", "seed", "3", "-p", "repeats", "1"),
        outputs=outputs,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    runs = {key for note in exhibits(nbformat.read(tmp_path / "out.ipynb", 4)) for key in note["runs"]}
    records = [json.loads((outputs / "runs" / key / "record.json").read_text()) for key in runs]
    assert {r["record"]["experiment"].get("seed") for r in records} == {3}
    assert {r["record"]["origin"] for r in records} == {"params/smoke/data_wrangling.yaml with seed=3, repeats=1"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--profile", "smok"), "There is no profile 'smok'; known profiles: "),
        (("-p", "epoch=3"), "No notebook has a parameter 'epoch'; the nearest one is epochs."),
        (("-p", "data=cifar10"), "No notebook has a parameter 'data'; the nearest one is dataset."),
        (("-p", "profile=quick"), "The profile is chosen by --profile, not by a parameter."),
        (("-p", "model=ResNet32"), "the command line: model: Input should be one of 'ConvNet',"),
        (("-p", "epochs=many"), "the command line: epochs has to be a whole number like 14, not 'many'."),
        (("-p", "epochs"), "A parameter is given as NAME=VALUE, not 'epochs'."),
        (("-p", "steps=[6"), "The value of 'steps' is not valid YAML"),
        (("-p", "factor=1e-9"), "data_wrangling: With factor 1e-09 and 128 images per class, class "),
        (("-p", "validation=0.9999"), "beta_sweep: Class 0 has 128 image(s), too few to hold out "),
        (("-p", "repeats=1000000000"), "the command line: repeats has to lie between 1 and 1000, not 1000000000."),
        (("-p", "readings=[nope]"), "the command line: there is no reading 'nope'; known ones: as stated, "),
        (("-p", "seed=4294967295"), "the command line: seed and repeats give seeds of 2^32 and more"),
        (("-p", "margin=.nan"), "the command line: margin has to lie between 0.0001 and 0.5, not nan."),
        (("-p", "epochs=2", "-p", "epochs=3"), "The parameter 'epochs' is given twice."),
    ],
)
def test_nonsense_is_refused_with_a_sentence_before_any_kernel_starts(tmp_path, monkeypatch, options, said):
    use(tmp_path, monkeypatch)
    with pytest.raises(UserError) as error:
        command_line(["report", "--profile", "smoke", *options], standalone_mode=False)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_second_report_of_a_profile_ends_at_once_and_touches_nothing(tmp_path, monkeypatch):
    use(tmp_path, monkeypatch)
    own = files.lock(tmp_path / "smoke" / ".lock")
    with pytest.raises(UserError, match="Another program is making or publishing the report of smoke"):
        runner.report("smoke")
    assert [path.name for path in (tmp_path / "smoke").iterdir()] == [".lock"]
    files.unlock(own)


def test_a_refusal_is_all_that_a_terminal_shows(tmp_path):
    result = report(tmp_path, "-p", "epochs")
    assert result.returncode == 1
    assert result.stderr == "A parameter is given as NAME=VALUE, not 'epochs'.\n"
    assert result.stdout == ""


def use(outputs, monkeypatch, *notebooks):
    """Let this process, and the kernels that it starts, produce in `outputs`; of some notebooks only, for the time."""
    monkeypatch.setenv("WRITEUP_OUTPUTS", str(outputs))
    monkeypatch.setattr(paths, "OUTPUTS", outputs)
    monkeypatch.setattr(paths, "RUNS", outputs / "runs")
    if notebooks:
        for module in (planning, publishing):
            monkeypatch.setattr(module, "chapters", lambda profile: [*notebooks])


def test_a_failing_notebook_is_kept_and_named_and_the_others_still_run(smoke, tmp_path, monkeypatch, capsys):
    shutil.copytree(smoke[0] / "runs", tmp_path / "runs")
    use(tmp_path, monkeypatch, "data_wrangling", "claims")
    # Runs that are not stored, and nobody who could train them.
    options = ["report", "--profile", "smoke", "-p", "seed=77", "-p", "scheduler=tcp://127.0.0.1:9"]
    assert command_line(options, standalone_mode=False) == 1
    html = (tmp_path / "smoke" / "report.html").read_text()
    assert "tested on these runs" in html
    assert "data_wrangling is missing from it: cell" in capsys.readouterr().err
    assert "The notebook <code>data_wrangling</code> did not finish" in html
    assert (tmp_path / "smoke" / "data_wrangling.ipynb").is_file()


@pytest.fixture
def notebook(tmp_path):
    """A function: executes a notebook of one cell, and gives what it failed with."""

    def execute(source):
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        cells = [new_code_cell("headless = False", metadata={"tags": ["parameters"]}), new_code_cell(source)]
        file = tmp_path / "one.ipynb"
        nbformat.write(new_notebook(cells=cells, metadata=metadata), file)
        return runner.execute(file, {"headless": True}, tmp_path / "out" / "one.ipynb", "[1/1] one").failure

    return execute


def test_a_kernel_that_is_ended_from_outside_is_said(notebook):
    said = notebook("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert said == "its kernel was ended from outside while it worked; most likely there was no memory left."


def test_a_kernel_that_cannot_start_is_said(notebook, tmp_path, monkeypatch):
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit(1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert notebook("pass") == "its kernel could not start (Kernel died before replying to kernel_info)."


def heed_sigint():
    """A shell starts background jobs with SIGINT ignored; a person's terminal does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_runs_that_fail_are_named_in_their_place_and_the_rest_is_there(smoke, tmp_path, monkeypatch, capsys):
    """Learning rates that diverge, among the candidates for the closing table."""
    shutil.copytree(smoke[0] / "runs", tmp_path / "runs")
    use(tmp_path, monkeypatch, "settings")
    rates = parameters.read(paths.PARAMS / "smoke" / "settings.yaml", paths.NOTEBOOKS / "settings.ipynb")
    assert not runner.report("smoke", {"candidates": [*rates["candidates"], [1e30, 32, 0]]})
    assert re.search(r"settings is without \d+ runs that failed: ConvNet CE seed 0", capsys.readouterr().err)
    notebook = nbformat.read(tmp_path / "smoke" / "settings.ipynb", 4)
    said = [o for c in notebook.cells for o in c.get("outputs", []) if "writeup_failed" in o.get("metadata", {})]
    assert "loss became" in said[0].data["text/markdown"]
    assert {note["name"] for note in exhibits(notebook)} >= {"distances", "alike", "readings"}
    html = (tmp_path / "smoke" / "report.html").read_text()
    assert "of the runs failed;" in html
    assert "This part is missing" not in html
    with pytest.raises(UserError, match=r"without \d+ runs that failed"):
        publishing.publish("smoke")


def test_ctrl_c_is_one_sentence_keeps_the_epochs_and_leaves_no_process_behind(tmp_path):
    command = (sys.executable, "-u", "-m", "lib", "report", "--profile", "smoke", "-p", "epochs=500")
    env = os.environ | {"WRITEUP_OUTPUTS": str(tmp_path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=env, preexec_fn=heed_sigint, **pipes) as process:
        try:
            until = time.monotonic() + 120
            while not list((tmp_path / "runs" / "unfinished").glob("*.safetensors")):
                assert time.monotonic() < until, "no epoch was finished"
                time.sleep(0.1)
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 1
    # The last word is ours; an interrupted kernel may mutter before it, but shows no traceback.
    assert stderr.splitlines()[-1] == "Stopped. Finished runs and epochs are kept; the same command goes on from there."
    assert "Traceback" not in stderr
    assert list((tmp_path / "runs" / "unfinished").glob("*.safetensors"))
    assert children
    assert psutil.wait_procs(children, timeout=15)[1] == []
