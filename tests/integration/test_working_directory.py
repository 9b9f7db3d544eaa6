"""The installed lib is used wherever one stands, whatever else is called so there."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lib.system import paths

FOREIGN = {"lib/__init__.py": "value = 1", "lib.py": "value = 1", "lib/more/__init__.py": "", "writeup.py": ""}


@pytest.fixture(params=FOREIGN)
def elsewhere(request, tmp_path):
    """A folder with something called lib in it, a package, a module, or a mere folder as /lib; or with a writeup.py."""
    (tmp_path / request.param).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / request.param).write_text(FOREIGN[request.param])
    return tmp_path


def python(code, cwd):
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)


def test_the_command_is_found(elsewhere):
    result = subprocess.run(
        [Path(sys.executable).with_name("writeup"), "report", "--profile", "none"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
    )
    assert result.stderr.startswith("There is no profile 'none'"), result


def test_the_name_of_the_package_is_found_from_a_folder_that_is_called_so(tmp_path):
    """As from /, which has a /lib."""
    (tmp_path / "lib").mkdir()
    command = [sys.executable, "-m", "lib", "report", "--profile", "none"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.stderr.startswith("There is no profile 'none'"), result


def test_a_kernel_that_papermill_starts_finds_it(elsewhere):
    """With the first line of our notebooks; papermill starts kernels in the working directory, which comes first."""
    source = "import longtail_writeup\nfrom lib.system import paths\nprint(paths.ROOT)"
    nbformat.write(new_notebook(cells=[new_code_cell(source)]), elsewhere / "in.ipynb")
    command = [sys.executable, "-m", "papermill", "--kernel", "python3", "in.ipynb", "out.ipynb"]
    result = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (output,) = nbformat.read(elsewhere / "out.ipynb", 4).cells[0].outputs
    assert output.text.strip() == str(paths.ROOT)


@pytest.mark.parametrize("name", sorted({path.stem for path in paths.NOTEBOOKS.glob("*.ipynb")} - {"index"}))
def test_each_notebook_imports_it_before_anything_of_lib(name):
    cells = nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", 4).cells
    lines = [line for cell in cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    ours = re.compile(r"(import|from) (lib|explore|longtail_writeup)\b")
    imports = [line for line in lines if ours.match(line)]
    assert imports[0].startswith("import longtail_writeup ")


def test_workers_find_it(elsewhere):
    code = """
import longtail_writeup
from lib.runs.sweep import cluster
if __name__ == "__main__":
    with cluster.local(1) as client:
        print(client.submit(lambda: __import__("lib").__file__).result())
"""
    (elsewhere / "script.py").write_text(code)
    result = subprocess.run([sys.executable, "script.py"], cwd=elsewhere, capture_output=True, text=True)
    assert result.stdout.strip() == str(paths.ROOT / "lib" / "__init__.py"), result.stderr


def test_a_checkout_that_is_reached_by_a_link_is_no_other_one(tmp_path):
    (tmp_path / "link").symlink_to(paths.ROOT)
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'link')!r}); import lib, longtail_writeup"
    assert python(code, tmp_path).returncode == 0


def test_a_kernel_that_has_another_lib_already_is_told(tmp_path):
    (tmp_path / "lib.py").write_text("")
    result = python("import lib\nimport longtail_writeup", tmp_path)
    assert f"`lib` was imported from {tmp_path / 'lib.py'}, not from {paths.ROOT}; restart" in result.stderr


def test_a_kernel_with_another_checkout_than_the_report_is_told(tmp_path, monkeypatch):
    """A virtual environment belongs to one checkout; `python -m longtail_writeup report` can be called from another."""
    monkeypatch.setenv("WRITEUP_ROOT", "/some/other/checkout")
    result = python("import longtail_writeup", tmp_path)
    assert f"This kernel uses {paths.ROOT}, but /some/other/checkout makes the report" in result.stderr
    monkeypatch.setenv("WRITEUP_ROOT", str(paths.ROOT))
    assert python("import longtail_writeup", tmp_path).returncode == 0
