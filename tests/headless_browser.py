"""A real JupyterLab server and a real browser, for tests/browser (make test-browser)."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

from lib.system import paths

#: Folder of the screenshots; the README shows copies of some of them.
SHOTS = paths.ROOT / "outputs" / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: A browser that asks nobody for anything.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium: the one on the PATH, else Playwright's own."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    """Folders of a person's own: notebooks that start on the sample, outputs with one trained run, parameter files."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "params").mkdir()
    (folder / "notebooks").mkdir()
    for name in ("explore", "convnet"):
        notebook = nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", 4)
        for cell in notebook.cells:
            cell.source = cell.source.replace('dataset = "cifar10"', 'dataset = "sample"')
            cell.source = cell.source.replace("epochs = 14 ", "epochs = 5000 ")
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    train = (
        "from lib.runs import sweep; from lib.experiment import Experiment\n"
        "fields = dict(data='sample', imbalance='exponential', factor=0.1, model='TwoLayerNet', epochs=6)\n"
        "for loss in ({}, {'loss': 'focal', 'gamma': 1, 'beta': 0.99}):\n"
        "    sweep.run([Experiment.make(**fields, learning_rate=0.1, **loss)])\n"
    )
    subprocess.run([sys.executable, "-c", train], env=environment(folder), check=True, stdout=subprocess.DEVNULL)
    return folder


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {
        "WRITEUP_OUTPUTS": str(folder / "outputs"),
        "WRITEUP_PUBLISHED": str(folder / "published"),
        "WRITEUP_PARAMS": str(folder / "params"),
        "CUDA_VISIBLE_DEVICES": "-1",
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "IPYTHONDIR": str(folder / "ipython"),
    }


def violations(page, within="body"):
    """Serious faults that axe-core finds in a part of a page, as lines."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context={"include": [within]}).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    return [f"{each['id']}: {node['html'][:200]}" for each in serious for node in each["nodes"]]


@contextmanager
def served(command: list[str], url: str, folder: Path):
    """A server in a process of its own, ready; its log is in folder."""
    with (folder / f"{command[0]}.log").open("w") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / command[0]), *command[1:]],
            **{"cwd": folder, "env": environment(folder), "stdout": log, "stderr": log},
        )
    try:
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(url, timeout=5)
                break
            except urllib.error.HTTPError:  # an answer, too
                break
            except OSError:
                pass
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)
