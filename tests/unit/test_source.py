"""What decides a run's numbers is in its key: the source of a model, loss or data set that is not the shipped one."""

import importlib
import linecache
import os
import sys
import textwrap
from functools import partial

import pytest
from conftest import small

from lib import data, losses, models
from lib.experiment import Experiment
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
    found |= {name: source.digest(kind.build, kind.sigmoid) for name, kind in losses.LOSSES.items()}
    found |= {name: source.digest(module) for name, module in data.DATASETS.items()}
    assert found == source.SHIPPED, (
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
        source._loaded.pop(name, None)


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


def test_a_module_that_is_referred_to_counts_as_a_whole(write):
    text = OWN.replace("* scaled(1.0)", "* helpers.scaled(1.0)")
    before, after = (digests(write(text, HELPERS + more)) for more in ("", "\n\nMORE = 1\n"))
    assert before[0] != after[0]


def test_arguments_that_are_bound_count(write):
    own = write().Own
    assert len({source.digest(partial(own, hidden=4)), source.digest(partial(own, hidden=5)), source.digest(own)}) == 3
    assert source.digest(partial(own, hidden=4)) == source.digest(partial(own, hidden=4))


def test_lambdas_count(write):
    found = [source.digest(write(f"{OWN}\n\nSCORES = {{'a': lambda x: {n} * x}}\n").SCORES["a"]) for n in (2, 3, 2)]
    assert found[0] == found[2] != found[1]


def test_what_a_notebook_defines_counts():
    def defined(factor):
        """A class as a notebook's cell would define it: in a module without a file."""
        text = f"class Mine:\n    def forward(self, x):\n        return {factor} * x\n"
        linecache.cache[f"<cell {factor}>"] = (len(text), None, text.splitlines(keepends=True), f"<cell {factor}>")
        namespace = {"__name__": "a_notebook"}
        exec(compile(text, f"<cell {factor}>", "exec"), namespace)
        return namespace["Mine"]

    assert source.digest(defined(2)) != source.digest(defined(3))
    assert source.digest(defined(2)) == source.digest(defined(2))


def test_an_edit_that_is_not_loaded_is_refused_with_a_sentence(write, monkeypatch):
    module = write()
    monkeypatch.setitem(models.MODELS, "Own", module.Own)
    before = small(model="Own")
    write(OWN.replace("WIDTH = 8", "WIDTH = 16"), load=False)
    with pytest.raises(UserError, match=r"WIDTH has changed in \S+own.py since it was loaded; restart"):
        small(model="Own")
    assert small(model="TwoLayerNet").code == ""  # other runs go on
    write(OWN.replace("return 1", "return 2"), load=False)
    assert small(model="Own") == before


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
    with pytest.raises(UserError, match=r"of other code \(TwoLayerNet 0123456789ab\) than is here"):
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
