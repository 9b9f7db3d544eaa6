"""The key of a run covers the source of its model, loss and data set where they are not the shipped ones."""

import importlib
import linecache
import os
import subprocess
import sys
import textwrap
from functools import partial

import pytest
from conftest import small

from lib import data, losses, models
from lib.experiment import Experiment, loss_code
from lib.runs.store import Store
from lib.system import source
from lib.system.errors import UserError
from lib.training import train

OWN = '''
import torch
from torch import nn
import helpers
from helpers import scaled

WIDTH = 8


class Base(nn.Module):
    def forward(self, x):
        return self.layers(x.flatten(1)) * scaled(1.0)


class Own(Base):
    """A model."""

    def __init__(self, classes: int, hidden: int = 3):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3072, WIDTH), nn.Linear(WIDTH, classes))


def unused():
    return 1


def build(settings):
    return lambda logits, targets, epoch=1: 2.0 * nn.functional.cross_entropy(logits, targets)
'''
HELPERS = "FACTOR = 2.0\n\n\ndef scaled(x):\n    return FACTOR * x\n"


def test_the_digests_of_what_is_shipped_are_up_to_date():
    found = {name: source.digest(model) for name, model in models.MODELS.items()}
    found |= {name: loss_code(kind) for name, kind in losses.LOSSES.items()}
    found |= {n: source.digest(m.CLASSES, m.MEAN, m.STD, None) for n, m in data.DATASETS.items()}
    assert {name: found[name] for name in source.SHIPPED} == source.SHIPPED, (
        "The text of the shipped code has changed. If tests/unit/test_golden.py passes, the numbers have not: put the "
        f"new digests into lib/system/shipped.yaml, so that stored runs stay valid:\n{found}"
    )


def test_a_shipped_run_has_no_code_in_its_key():
    assert small(model="ResNet-32", loss="focal", gamma=1, beta=0.9).code == ""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that writes a module of one's own and loads it anew, as another program would."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(own=OWN, helpers=HELPERS, load=True):
        for name, text in {"helpers": helpers, "own": own}.items():
            (tmp_path / f"{name}.py").write_text(text)
            os.utime(tmp_path / f"{name}.py", ns=(time := next(clock), time))
        importlib.invalidate_caches()
        return [load_anew(name) for name in ("helpers", "own")][1] if load else None

    clock = iter(range(10**18, 10**19, 10**9))  # of files that are written within one tick of the real one
    yield write
    for name in ("helpers", "own"):
        sys.modules.pop(name, None)


def load_anew(name):
    return importlib.reload(sys.modules[name]) if name in sys.modules else importlib.import_module(name)


def digests(module):
    return source.digest(module.Own), source.digest(module.build)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("WIDTH = 8", "WIDTH = 16", (True, False)),  # a constant
        ("2.0 * nn", "2.5 * nn", (False, True)),  # a factor of the loss
        ("x.flatten(1)", "x.flatten(1).abs()", (True, False)),  # a base class
        ("hidden: int = 3", "hidden: int = 4", (True, False)),
        ("return 1", "return 2", (False, False)),  # not used
        ("WIDTH = 8", "WIDTH = (  # neurons\n    8\n)", (False, False)),
        ('"""A model."""', '"""Another sentence."""', (False, False)),
        ("x.flatten(1)) * scaled(1.0)", "x.flatten( 1 ) )*scaled( 1.0 )  # comment", (False, False)),
        ("\n\nclass Own", "\n\ndef more():\n    pass\n\n\nclass Own", (False, False)),  # lines move
    ],
)
def test_what_can_change_the_numbers_changes_the_digest_and_nothing_else_does(write, old, new, changed):
    before = digests(write())
    assert old in OWN
    after = digests(write(OWN.replace(old, new)))
    assert tuple(one != other for one, other in zip(before, after, strict=True)) == changed


@pytest.mark.parametrize(("old", "new"), [("FACTOR = 2.0", "FACTOR = 3.0"), ("FACTOR * x", "FACTOR + x")])
def test_imported_helpers_count(write, old, new):
    before = digests(write())
    after = digests(write(helpers=HELPERS.replace(old, new)))
    assert before[0] != after[0]
    assert before[1] == after[1]


@pytest.mark.parametrize("own", ["* helpers.scaled(1.0)", "* helpers.inner(1.0)"])
def test_of_a_module_what_is_used_counts(write, own):
    text = OWN.replace("* scaled(1.0)", own)
    more = "\n\ndef inner(x):\n    return scaled(x)\n"
    found = [digests(write(text, HELPERS.replace("2.0", factor) + more + end))[0] for factor, end in VARIANTS]
    assert found[0] == found[1] != found[2]


VARIANTS = [("2.0", ""), ("2.0", "\n\nNOT_USED = 1\n"), ("3.0", "")]


def test_a_class_of_another_module_counts(write):
    text = OWN.replace("class Own(Base)", "class Own(helpers.Other)")
    more = "\n\nfrom torch import nn\n\n\nclass Other(nn.Module):\n    factor = FACTOR\n"
    found = [digests(write(text, HELPERS.replace("2.0", factor) + more + end))[0] for factor, end in VARIANTS]
    assert found[0] == found[1] != found[2]


def test_an_import_inside_a_function_counts(write):
    text = OWN.replace("import helpers\nfrom helpers import scaled\n", "")
    text = text.replace(
        "        return self.layers", "        from helpers import scaled\n\n        return self.layers"
    )
    found = [digests(write(text, HELPERS.replace("2.0", factor) + end))[0] for factor, end in VARIANTS]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("torch.tensor([1.0])", "torch.tensor([2.0])"),
        ("np.array([1.0])", "np.array([2.0])"),
        ("re.compile('a')", "re.compile('b')"),
        ("nn.LeakyReLU(0.1)", "nn.LeakyReLU(0.2)"),
        ("{'a': [1, 2]}", "{'a': [1, 3]}"),
        ("{1, 2, 3}", "{1, 2, 4}"),
        ("cache(lambda: 2)", "cache(lambda: 3)"),
        ("partial(int, base=2)", "partial(int, base=3)"),
        ("(lambda factor: lambda x: factor * x)(2)", "(lambda factor: lambda x: factor * x)(3)"),
    ],
)
def test_objects_that_a_model_refers_to_count(write, one, other):
    top = "import re\nimport numpy as np\nfrom functools import cache, partial\n" + OWN.replace(
        "WIDTH = 8", "WIDTH = 8\nTHING = PLACE"
    )
    text = top.replace("x.flatten(1))", "x.flatten(1)) if THING is not None else x")
    found = [digests(write(text.replace("PLACE", value)))[0] for value in (one, other, one)]
    assert found[0] == found[2] != found[1]


def test_code_that_refers_to_itself_ends(write):
    more = """
import own


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and own.even(n - 1)


def nested():
    def inner(n):
        return n and inner(n - 1)

    return inner


SELF = [1]
SELF.append(SELF)


def made():
    return own.own.own.SELF, nested()
"""
    found = [
        source.digest(*(write(OWN + more.replace("n == 0", zero)).__dict__[n] for n in ("even", "made")))
        for zero in ("n == 0", "n == 1")
    ]
    assert found[0] != found[1]
    assert source.digest(sys.modules["own"].nested()) == source.digest(sys.modules["own"].nested())


def test_what_is_changed_in_memory_counts(write):
    own = write().Own
    before = source.digest(own)
    own.factor = 2
    assert source.digest(own) != before


def test_other_callables_count(write):
    more = """

class Maker:
    def __init__(self, width):
        self.width = width

    def __call__(self, classes):
        return WIDTH * self.width

    @classmethod
    def made(cls, classes):
        return cls(classes)


def sized(width):
    def build(classes):
        return width * classes

    return build
"""
    module = write(OWN + more)
    found = [Maker := module.Maker, Maker(1), Maker(2), Maker(1).__call__, Maker.made, module.sized(1), module.sized(2)]
    digests = [source.digest(each) for each in found]
    assert len(set(digests)) == len(digests)
    changed = write((OWN + more).replace("WIDTH * self.width", "self.width"))
    assert source.digest(changed.Maker(1)) != digests[1]
    assert source.digest(changed.Maker.made) != digests[4]
    assert source.digest(changed.sized(1)) == digests[5]


def test_arguments_that_are_bound_count(write):
    own = write().Own
    assert len({source.digest(partial(own, hidden=4)), source.digest(partial(own, hidden=5)), source.digest(own)}) == 3
    assert source.digest(partial(own, hidden=4)) == source.digest(partial(own, hidden=4))


def test_a_lambda_counts_with_all_that_it_refers_to(write):
    more = "\n\nMADE = {'a': lambda classes: Own(classes), 'b': lambda classes: 1}\n"
    edits = [
        ("", ""),
        ("WIDTH = 8", "WIDTH = 9"),
        ("Own(classes), 'b'", "Own(2), 'b'"),
        ("import torch", "# comment\nimport torch"),
    ]
    found = [source.digest(write((OWN + more).replace(*edit)).MADE["a"]) for edit in edits]
    assert found[0] == found[3]
    assert len(set(found)) == 3


@pytest.mark.parametrize("change", ["2 * x", "x - self.factor", "x * WIDTH"])
def test_what_a_notebook_defines_counts(change):
    """Its module has no file; its cells are where IPython keeps them."""

    def defined(body, factor=1, width=1):
        cell = f"<cell {body} {factor} {width}>"
        text = (
            f"WIDTH = {width}\nclass Mine:\n    factor = {factor}\n    def forward(self, x):\n        return {body}\n"
        )
        linecache.cache[cell] = (len(text), None, text.splitlines(keepends=True), cell)
        namespace = {"__name__": "a_notebook"}
        exec(compile(text, cell, "exec"), namespace)
        return source.digest(namespace["Mine"])

    assert defined(change) == defined(change)
    assert len({defined(change), defined("x"), defined(change, factor=2)}) == 3
    assert (defined(change) != defined(change, width=2)) == ("WIDTH" in change)


def test_code_without_a_source_counts():
    def typed(text):
        namespace = {"__name__": "a_notebook"}
        exec(text, namespace)
        return source.digest(namespace["f"])

    assert typed("def f(x): return 2 * x") == typed("def f(x): return 2 * x") != typed("def f(x): return 3 * x")


def test_the_digest_of_a_set_does_not_depend_on_the_process(tmp_path):
    (tmp_path / "mine.py").write_text("NAMES = {'a', 'b', 'c', 'd'}\n\n\ndef f():\n    return NAMES, {'x', 'y'}\n")
    code = "import mine; from lib.system import source; print(source.digest(mine.f))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    found = {
        subprocess.check_output([sys.executable, "-c", code], env=environment | {"PYTHONHASHSEED": seed}, cwd=tmp_path)
        for seed in "12"
    }
    assert len(found) == 1


def test_an_edit_that_is_not_loaded_changes_nothing_and_is_named(write, monkeypatch):
    module = write()
    monkeypatch.setitem(models.MODELS, "Own", module.Own)
    before = small(model="Own")
    assert module.__file__ not in map(str, source.edited())
    for old, new in (("WIDTH = 8", "WIDTH = 16"), ("x.flatten(1)", "x.abs()"), (OWN, "def half(")):
        write(OWN.replace(old, new), load=False)
        assert small(model="Own") == before  # what would be trained
        assert module.__file__ in map(str, source.edited())
    write(OWN + "# A comment.", load=False)
    assert module.__file__ not in map(str, source.edited())
    digests(write(OWN.replace("WIDTH = 8", "WIDTH = 16")))
    assert module.__file__ not in map(str, source.edited())


def test_a_file_that_was_edited_before_its_code_was_looked_up_is_not_taken_for_it(write):
    module = write()
    write(OWN.replace("x.flatten(1)", "x.abs()"), load=False)
    loaded = source.digest(module.Own)
    assert loaded != source.digest(write(OWN.replace("x.flatten(1)", "x.abs()")).Own)


def test_an_edited_model_is_another_run_and_the_old_one_stays(write, monkeypatch, store, few):
    """The checkpoint of an interrupted run with the old code is not taken up either."""
    keys = []
    for width in (8, 16, 8):
        monkeypatch.setitem(models.MODELS, "Own", write(OWN.replace("WIDTH = 8", f"WIDTH = {width}")).Own)
        experiment = small(model="Own", epochs=1)
        assert experiment.code.startswith("Own ")
        assert (store.get(experiment) is None) == (width not in (8, 16)[: len(keys)])
        if store.get(experiment) is None:
            store.put(*train(experiment, few(), checkpoint=store.checkpoint(experiment)))
        keys.append(experiment.key)
    assert keys[0] == keys[2] != keys[1]
    assert {record.key for record in Store(store.folder).records()} == set(keys)
    assert [*Store(store.folder).by_seed(experiment)] == [0]


def test_code_that_is_not_here_is_not_trained(few):
    other = small().model_copy(update={"code": "TwoLayerNet 0123456789ab"})
    with pytest.raises(UserError, match=r"with other code of its model.* \(TwoLayerNet 0123456789ab\); restart"):
        train(other, few())


def test_an_edited_loss_and_an_edited_data_set_are_other_runs(write, monkeypatch):
    text = textwrap.dedent("CLASSES = ('a', 'b')\nMEAN = (0.5,)\n\ndef load():\n    raise NotImplementedError\n")
    found = []
    for factor, mean in ((2.0, 0.5), (2.5, 0.5), (2.0, 0.6)):
        module = write(OWN.replace("2.0 *", f"{factor} *"), text.replace("0.5", str(mean)) + HELPERS)
        monkeypatch.setitem(losses.LOSSES, "own", losses.LossKind(module.build, "Own"))
        monkeypatch.setitem(data.DATASETS, "own data", sys.modules["helpers"])
        found.append(Experiment.make(data="own data", model="ConvNet", loss="own", epochs=1))
    assert len({experiment.key for experiment in found}) == 3
    assert all(experiment.code.startswith("own ") and ", own data " in experiment.code for experiment in found)
