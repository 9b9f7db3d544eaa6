"""A corrupted store: each fault is named, costs at most the run it is in, and never changes a figure without a word."""

import contextlib
import ctypes
import hashlib
import io
import itertools
import os
import random
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from functools import partial
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from conftest import FEW, numbers, small
from corruptions import FILES, MEANINGS, ROWS, SIGNED, TENSORS, TEXTS
from isolation import isolated, processes  # noqa: F401  (a fixture)

from lib.notebook import parameters
from lib.runs import sweep
from lib.runs.store import Store
from lib.system import paths
from lib.system.errors import UserError
from lib.training import Interrupted
from longtail_writeup.report.document import exhibits

#: Three stored runs, and one that is stopped after its first epoch.
RUNS = [small(**FEW, epochs=2, seed=seed) for seed in (0, 1, 2)]
STOPPED = small(**FEW, epochs=2, seed=3)
NAMES, COMMAND = ("best", "last", "output", "logits"), "python -m lib runs"
SECONDS, LINE = 40, 600  # until a case counts as hung; characters of a message


class Case(NamedTuple):
    target: str
    kind: str
    seed: int


def files(outputs):
    """Each kind of file in a store, with its like in another run (or what is nearest to that)."""
    runs = outputs / "runs"
    one, other = (runs / experiment.key for experiment in RUNS[:2])
    own = {name: (one / name, other / name) for name in ["record.json", *(f"{name}.safetensors" for name in NAMES)]}
    unfinished = runs / "unfinished" / STOPPED.key
    return own | {
        "checkpoint": (unfinished.with_suffix(".safetensors"), one / "last.safetensors"),
        "lock": (unfinished.with_suffix(".lock"), one / "record.json"),
        "index": (runs.with_name(".runs.index.jsonl"), one / "record.json"),
        "plan": (outputs / "smoke" / "plan.json", one / "record.json"),
        "folder of a run": (one, other),
        "folder of checkpoints": (runs / "unfinished", one),
    }


def cases():
    """Every target with every kind that fits it; of random ones several."""
    kinds = dict.fromkeys(("record.json", "checkpoint", "lock", "index", "plan"), FILES)
    kinds |= dict.fromkeys((f"{name}.safetensors" for name in NAMES), FILES | TENSORS | SIGNED)
    kinds |= {"record.json": FILES | MEANINGS | TEXTS, "checkpoint": FILES | TENSORS, "index": FILES | ROWS}
    special = {kind: FILES[kind] for kind in FILES if kind.startswith(("a fifo", "a s", "a link", "unreadable"))}
    kinds |= {"folder of a run": special, "folder of checkpoints": special}
    found = [Case(target, kind, seed) for target, own in kinds.items() for kind in own for seed in _seeds(target, kind)]
    random.Random(0).shuffle(found)
    return found


def _seeds(target, kind):
    return range(3 if "flipped" in kind and target != "lock" else 1)


def build(outputs):
    """Make the store that is corrupted, and return what it holds."""
    store = Store(outputs / "runs")
    records = sweep.run(
        [*RUNS, STOPPED], store=Store(outputs.with_name("undisturbed")), workers=1, on_epoch=lambda *_: None
    )
    sweep.run(RUNS, store=store, workers=1, on_epoch=lambda *_: None)

    def stop(*_):
        raise KeyboardInterrupt

    with contextlib.suppress(Interrupted):
        sweep.run([STOPPED], store=store, workers=1, on_epoch=stop)
    store.lock(STOPPED).release()
    plan().save(outputs / "smoke" / "plan.json")
    Store(outputs / "runs").frame()
    shutil.copytree(outputs, outputs.with_name("observed"))
    return observe(outputs.with_name("observed"), 0) | {"records": [numbers(record) for record in records]}


def plan():
    return parameters.Plan.of("smoke", {"epochs": 3})


def observe(outputs, first):
    """Go through a store as programs do, starting with another step each time; return what each step gave or said."""
    paths.OUTPUTS, paths.RUNS, trained = outputs, outputs / "runs", []
    options = {"workers": 1, "on_epoch": lambda e, epoch: trained.append((e.seed, epoch.epoch))}
    steps = {
        "listing": lambda: {row.pop("key"): _without_times(row) for row in Store().frame().to_dict("records")},
        COMMAND: _list,
        **{f"get {n}": lambda e=e: (r := Store().get(e)) and numbers(r) for n, e in enumerate(RUNS)},
        **{f"{name} {n}": lambda e=e, name=name: _bits(e, name) for n, e in enumerate(RUNS) for name in NAMES},
        "plan": lambda: parameters.executed("smoke", "data_wrangling"),
        "new plan": lambda: plan().save(parameters.file_of("smoke")),
        "sweep": lambda: [numbers(record) for record in sweep.run([*RUNS, STOPPED], **options)],
    }
    order = list(steps)[first % len(steps) :] + list(steps)[: first % len(steps)] + ["sweep", "listing"]
    found = {}
    for name in order:
        said = (UserError, OSError) if name == "new plan" else UserError  # which the command line says in a sentence
        try:
            result = ("gave", steps[name]())
        except said as error:
            result = ("refused", str(error))
            print(error)
        except Exception:
            result = ("traceback", traceback.format_exc())
        found[f"{name}, again" if name in found else name] = result
    return {"steps": found, "trained": sorted(set(trained))}


def _without_times(row):
    return repr({name: value for name, value in row.items() if name not in ("wall_time", "finished")})


def _list():
    from longtail_writeup.__main__ import app

    with contextlib.redirect_stdout(io.StringIO()) as said:
        app(["runs"], standalone_mode=False)
    return said.getvalue()


def _bits(experiment, name):
    digest = {key: hashlib.sha256(t.numpy().tobytes()).digest() for key, t in Store().tensors(experiment, name).items()}
    return digest, {key: (str(t.dtype), t.shape) for key, t in Store().tensors(experiment, name).items()}


def corrupt_and_observe(pristine, outputs, case, number):
    """Observe a corrupted copy of the store, without root's right to read everything."""
    shutil.copytree(pristine, outputs)
    file, other = files(outputs)[case.target]
    (FILES | TENSORS | SIGNED | MEANINGS | TEXTS | ROWS)[case.kind](file, random.Random(str(case)), other)
    with contextlib.suppress(AttributeError):  # no Linux
        ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
    found = observe(outputs, number)
    shutil.rmtree(outputs, ignore_errors=True)
    return found


def faults(case, outcome, right):
    """Everything that is wrong with what was observed of a corrupted store, and with what was said about it."""
    if outcome.kind != "returned":
        return [f"{outcome.kind}: {outcome.value[-300:]}"]
    steps, trained = outcome.value["steps"], outcome.value["trained"]
    found, changed = [], trained != right["trained"] or case.kind in MEANINGS
    for name, (kind, value) in steps.items():
        step = name.removesuffix(", again")
        expected = right["records"] if step == "sweep" else right["steps"][step][1]
        waits = step == "sweep" and case.target in ("lock", "folder of checkpoints")
        if kind == "traceback":
            found.append(f"traceback in {name}: {value[-300:]}")
        elif kind == "refused" and (step in ("listing", COMMAND) or (step == "sweep" and not waits)):
            found.append(f"{name} does not go on: {value}")
        elif kind == "gave" and step == "listing":
            expected = right["steps"]["listing, again"][1]
            changed |= len(value) < len(RUNS)
            if case.kind not in TEXTS and (
                other := {key: row for key, row in value.items() if row != expected.get(key)}
            ):
                found.append(f"{name} gave other rows: {[*other]}")
        elif kind == "gave" and step == COMMAND:
            if not value.replace("\n", "").isprintable():
                found.append(f"{name} printed {value!r:.300}")
        elif kind == "gave" and step in ("plan", "new plan"):
            continue  # a plan's values are checked, not signed: a flipped digit is another plan
        elif kind == "gave" and value not in (None, expected):
            found.append(f"{name} gave something else")
        changed |= kind != "gave" or (value is None and expected is not None)
    if changed and not _named(case, outcome.said):
        found.append(f"not named, and trained {trained}; said {outcome.said[:300]!r}")
    if not outcome.said.replace("\n", "").isprintable():
        found.append(f"unprintable: {outcome.said[:300]!r}")
    if long := [line for line in outcome.said.splitlines() if len(line) > LINE]:
        found.append(f"too long a line: {long[0][:100]}")
    return found


def _named(case, said):
    """The run or the file is named."""
    file, _ = files(Path("outputs"))[case.target]
    return (
        RUNS[0].key if RUNS[0].key in file.parts else STOPPED.key if STOPPED.key in file.name else file.name
    ) in said


@pytest.fixture(scope="module")
def store(tmp_path_factory, processes):
    """The folder of the store, and what it holds."""
    outputs = tmp_path_factory.mktemp("pristine") / "outputs"
    outcome = processes.submit(isolated, build, outputs).result()
    assert outcome.kind == "returned", outcome
    return outputs, outcome.value


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("count", [12, pytest.param(None, marks=pytest.mark.faults)])
def test_each_corruption_is_named_and_changes_no_figure(processes, store, tmp_path, count):
    pristine, right = store
    chosen = cases()[:count]
    places = [tmp_path / str(n) for n in range(len(chosen))]
    arguments = (itertools.repeat(corrupt_and_observe), itertools.repeat(pristine), places, chosen, itertools.count())
    outcomes = list(processes.map(partial(isolated, seconds=SECONDS), *arguments))
    wrong = {case: f for case, o in zip(chosen, outcomes, strict=True) if (f := faults(case, o, right))}
    silent = [case for case, o in zip(chosen, outcomes, strict=True) if case not in wrong and not o.said]
    print(
        f"{len(chosen)} corruptions of a store: {len(chosen) - len(wrong) - len(silent)} named, {len(wrong)} wrong, "
        f"{len(silent)} without a word and without effect ({dict(Counter(case.target for case in silent))})"
    )
    assert not wrong, "\n".join(f"{case.target}, {case.kind}, {case.seed}: {'; '.join(f)}" for case, f in wrong.items())


def report(outputs):
    """Run the smoke profile as a user would; return its status, what it said, and its exhibits by name."""
    command = [sys.executable, "-m", "lib", "report", "--profile", "smoke"]
    environment = os.environ | {"WRITEUP_OUTPUTS": str(outputs)}
    result = subprocess.run(command, cwd=paths.ROOT, env=environment, capture_output=True, text=True, timeout=600)
    notebooks = [nbformat.read(outputs / "smoke" / f"{name}.ipynb", 4) for name in parameters.NOTEBOOKS]
    outputs = [output for notebook in notebooks for cell in notebook.cells for output in cell.get("outputs", [])]
    said = result.stdout + result.stderr + "".join(output.get("text", "") for output in outputs)
    return result.returncode, said, {note["name"]: note["data"] for nb in notebooks for note in exhibits(nb)}


@pytest.mark.faults
@pytest.mark.timeout(1_800)
def test_a_report_on_corrupted_runs_names_each_and_shows_the_same(tmp_path):
    """The first report trains the runs; then each is corrupted in another way."""
    status, _, right = report(tmp_path)
    assert status == 0
    runs, rng = sorted((tmp_path / "runs").glob("*/record.json")), random.Random(0)
    # A data set may lack a class, and a report does not read these weights.
    unseen = {"counts.0 = 0", *(kind for kind in MEANINGS if kind.startswith("files = {"))}
    records, weights = {kind: act for kind, act in (FILES | MEANINGS).items() if kind not in unseen}, FILES | TENSORS
    kinds = [("record.json", kind) for kind in rng.sample(sorted(records), len(runs) - 8)]
    kinds += [(f"{rng.choice(NAMES)}.safetensors", kind) for kind in rng.sample(sorted(weights), 8)]
    for run, other, (name, kind) in zip(runs, runs[1:] + runs[:1], kinds, strict=True):
        (records | weights)[kind](run.with_name(name), rng, other.with_name(name))
    status, said, found = report(tmp_path)
    changed = [name for name in found if found[name] != right[name]]
    unnamed = [
        f"{run.parent.name}: {kind}"
        for run, (_, kind) in zip(runs, kinds[:-8], strict=False)
        if run.parent.name not in said
    ]
    print(
        f"a report on {len(runs)} corrupted runs: {len(right) - len(found)} of {len(right)} exhibits missing, "
        f"{len(changed)} changed, {len(unnamed)} records not named"
    )
    assert "Traceback" not in said
    assert (changed, unnamed) == ([], []), said[-2_000:]
    assert (len(found) == len(right)) == (status == 0), said[-2_000:]
