"""The cure for a torchvision whose compiled operators cannot be loaded."""

import subprocess
import sys

import pytest

#: Fails as torchvision does beside a CPU build of torch: a function is registered for an undeclared operator.
FAKE = """
import torch
import torchvision.half  # a submodule that stays behind when the import fails

for name in ("nms", "qnms"):
    torch.library.register_fake(f"torchvision::{name}")(lambda *arguments: None)
healthy = True
"""


def python(code, *folders):
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {list(map(str, folders))}\n{code}"],
        capture_output=True,
        text=True,
    )


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "torchvision"
    folder.mkdir()
    (folder / "half.py").write_text("")
    return folder / "__init__.py"


def test_installed_torchvision_imports_with_its_datasets_and_transforms():
    done = python(
        "from lib.system.compat import import_torchvision as i; assert i() is i()\n"
        "import torchvision.transforms.v2, torchvision.datasets as d; print(d.CIFAR10.tgz_md5)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "c58f30108f718f92721af3b95e74349a"


def test_missing_operators_are_declared_and_the_import_repeated(package):
    package.write_text(FAKE)
    plain = python("import torchvision", package.parents[1])
    assert "operator torchvision::nms does not exist" in plain.stderr
    cured = python(
        "from lib.system.compat import import_torchvision as i; assert i().healthy; assert i().healthy",
        package.parents[1],
    )
    assert cured.returncode == 0, cured.stderr


def test_only_the_missing_operator_is_declared(package):
    package.write_text(FAKE)
    done = python(
        "import torch, lib.system.compat as c\n"
        "torch.library.define('torchvision::nms', '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')\n"
        "assert c.import_torchvision().healthy; assert hasattr(torch.ops.torchvision, 'qnms')",
        package.parents[1],
    )
    assert done.returncode == 0, done.stderr


def test_nothing_is_declared_where_the_import_works(package):
    package.write_text("")
    done = python(
        "import torch\n"
        "from lib.system.compat import import_torchvision\n"
        "import_torchvision()\n"
        "assert not hasattr(torch.ops.torchvision, 'nms')",
        package.parents[1],
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("error", ["RuntimeError('another cause')", "ImportError('broken')"])
def test_other_faults_are_not_hidden(package, error):
    package.write_text(f"raise {error}")
    done = python("from lib.system.compat import import_torchvision; import_torchvision()", package.parents[1])
    assert done.returncode == 1
    assert done.stderr.strip().endswith(error.split("(")[0] + ": " + error.split("'")[1])


def test_torchvision_pillow_and_rich_stay_out_of_the_way():
    """They cost a second or more, and most commands never need them."""
    done = python("import lib.data, sys; print({'torchvision', 'PIL', 'rich'} & set(sys.modules))")
    assert done.stdout.strip() == "set()", done.stderr


def test_what_a_notebook_waits_for_when_it_starts():
    """jsonschema from 4.25 builds a parser of IRIs at its import, which takes longer than importing torch."""
    slow = "{'lark', 'rfc3987_syntax', 'scipy.stats', 'dask'}"
    modules = "lib.analysis.claims, lib.analysis.plots, lib.analysis.prose, lib.notebook.session"
    done = python(f"import {modules}, sys; print({slow} & set(sys.modules))")
    assert done.stdout.strip() == "set()", done.stderr
