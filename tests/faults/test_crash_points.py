"""Programs that end at any of their file operations leave what is old or new, and whole; the next one tidies up."""

import itertools
import random
import re
import shutil
from types import SimpleNamespace

import nbconvert_typst
import nbformat
import nbformat.v4 as v4
import pytest
from conftest import FEW, numbers, small
from crashing import crash, operations
from isolation import isolated, pool

from lib.notebook import parameters
from lib.report import document, publish
from lib.runs import sweep
from lib.runs.store import Store
from lib.system import paths

FIRST, SECOND, THIRD = (small(**FEW, epochs=epochs, seed=seed) for seed, epochs in enumerate((1, 2, 1)))
TENSORS = ("best", "last", "logits")


def trained(folder, *experiments, origin=""):
    options = {"store": Store(folder / "runs"), "workers": 1, "on_epoch": lambda *_: None, "origin": origin}
    return [numbers(record) for record in sweep.run(experiments, **options)]


def content(folder):
    """Every file below a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def weights(store, experiment):
    return {name: {n: t.tolist() for n, t in store.tensors(experiment, name).items()} for name in TENSORS}


def of(store, experiment):
    """Everything of a run that has to be the same again."""
    record = store.get(experiment)
    return record and (numbers(record), weights(store, experiment))


class Sweep:
    """A run that is trained with a checkpoint after each epoch, stored and listed, beside one that is stored."""

    def prepare(self, folder):
        trained(folder, FIRST)

    def act(self, folder):
        trained(folder, FIRST, SECOND)

    def faults(self, folder, done):
        store, right = Store(folder / "runs"), Store(done / "runs")
        listed = list(store.frame().get("key", ()))
        if FIRST.key not in listed or not {FIRST.key, SECOND.key} >= set(listed):
            yield f"listed: {listed}"
        if of(store, FIRST) != of(right, FIRST) or of(store, SECOND) not in (None, of(right, SECOND)):
            yield "another run"
        if trained(folder, FIRST, SECOND, THIRD)[:2] != trained(done, FIRST, SECOND):
            yield "other records after the next sweep"
        yield from left(folder, ".runs.index.jsonl", "runs", *(f"runs/{e.key}" for e in (FIRST, SECOND, THIRD)))


class Put(Sweep):
    """A run that is stored in place of another copy of it."""

    def prepare(self, folder):
        trained(folder, FIRST, origin="old")

    def act(self, folder):
        store = Store(folder / "runs")
        record = store.get(FIRST).model_copy(update={"origin": "new"})
        store.put(record, {name: store.tensors(FIRST, name) for name in TENSORS})

    def faults(self, folder, done):
        if (record := Store(folder / "runs").get(FIRST)) is None or record.origin not in ("old", "new"):
            yield f"neither the old run nor the new one: {record}"
        yield from super().faults(folder, done)


class Listing(Sweep):
    """A listing that makes the index, and sets a damaged run aside."""

    def prepare(self, folder):
        trained(folder, FIRST, SECOND)
        (folder / "runs" / SECOND.key / "record.json").write_text("{")
        (folder / ".runs.index.jsonl").unlink()

    def act(self, folder):
        Store(folder / "runs").frame()

    def faults(self, folder, done):
        for found in super().faults(folder, done):
            if f"runs/unreadable-{SECOND.key}" not in found:
                yield found


def left(folder, *names):
    """Names of what a folder and its runs hold beside these; an empty folder for unfinished runs may stay."""
    found = {
        str(path.relative_to(folder)) for path in [*folder.glob("*"), *folder.glob("runs/*"), *folder.glob("runs/*/*")]
    }
    stored = {f"runs/{e.key}/{name}" for e in (FIRST, SECOND, THIRD) for name in (f"{n}.safetensors" for n in TENSORS)}
    stored |= {f"runs/{e.key}/record.json" for e in (FIRST, SECOND, THIRD)} | {"runs/unfinished"}
    if more := found - stored - set(names):
        yield f"left behind: {sorted(more)}"


class Publish:
    """A report that takes the place of one kept before, which has a run that the new one does not show."""

    def prepare(self, folder):
        trained(folder, FIRST)
        _report(folder, [FIRST.key], "old")
        (folder / "README.md").write_text("Top\n<!-- generated: make publish -->\n<!-- end of generated -->\nEnd\n")
        self.act(folder)
        trained(folder, SECOND)
        _report(folder, [SECOND.key], "new")
        shutil.copytree(folder / "published" / "smoke", folder / "old")
        shutil.copy(folder / "README.md", folder / "old.md")

    def act(self, folder):
        paths.OUTPUTS, paths.RUNS, paths.PUBLISHED = folder, folder / "runs", folder / "published"
        publish.README = folder / "README.md"
        publish.publish("smoke")

    def faults(self, folder, done):
        old, new = content(folder / "old"), content(done / "published" / "smoke")
        found = [
            content(place)
            for place in (folder / "published" / "smoke", *folder.glob("published/*"), *folder.glob("published/.*/*"))
        ]
        if found[0] not in (old, new) and (found[0] or old not in found):
            yield f"neither the old folder nor the new one: {len(found[0])} files of {len(old)} or {len(new)}"
        before, after = self._readme(folder, "old.md"), self._readme(done, "README.md")
        if self._readme(folder, "README.md") not in (before, after):
            yield "neither the old README.md nor the new one"
        self.act(folder)
        if content(folder / "published" / "smoke") != new:
            yield f"the next publish lost {sorted(new.keys() - content(folder / 'published' / 'smoke'))}"
        if self._readme(folder, "README.md") != after:
            yield "another README.md after the next publish"
        if (names(folder), names(folder / "published")) != (names(done), ["smoke"]):
            yield f"left behind: {names(folder)}, {names(folder / 'published')}"

    def _readme(self, folder, name):
        return re.sub(r"\S*(?=published/smoke)", "", (folder / name).read_text())


def _report(folder, keys, text):
    """An executed report in which every notebook has the exhibits that publishing looks for."""
    data = {"image/svg+xml": f"<svg>{text}</svg>", "text/html": f"<table>{text}</table>"}
    notes = [{"kind": "figure", "name": name, "runs": keys} for name in ("closing_rows", "ledger", "mistakes")]
    outputs = [v4.new_output("display_data", data, metadata={"writeup": note}) for note in notes]
    notebook = v4.new_notebook(cells=[v4.new_code_cell("1", id="one", execution_count=1, outputs=outputs)])
    (folder / "smoke").mkdir(exist_ok=True)
    for name in parameters.NOTEBOOKS:
        nbformat.write(notebook, folder / "smoke" / f"{name}.ipynb")
    for name in ("report.html", "report.pdf"):
        (folder / "smoke" / name).write_text(text * 10_000)


class Report:
    """The files of a report and its plan, in place of those of an earlier one."""

    def prepare(self, folder):
        self._write(folder, "old")

    def act(self, folder):
        self._write(folder, "new")

    def _write(self, folder, text):
        for name, result in (("ReportHTMLExporter", text * 10_000), ("TypstPDFExporter", text.encode() * 10_000)):
            method = SimpleNamespace(from_notebook_node=lambda *_, result=result: (result, None))
            setattr(nbconvert_typst, name, lambda method=method, **_: method)
        parameters.Plan.of("smoke", {"epochs": 3 if text == "old" else 4}).save(folder / "smoke" / "plan.json")
        document.write_report(v4.new_notebook(), folder / "smoke")

    def faults(self, folder, done):
        for name in ("report.html", "report.pdf"):
            if (folder / "smoke" / name).read_bytes() not in (b"old" * 10_000, b"new" * 10_000):
                yield f"{name} is neither the old one nor the new one"
        if parameters.Plan.load(folder / "smoke" / "plan.json").values["convnet"]["epochs"] not in (3, 4):
            yield "another plan"
        self.act(folder)
        if content(folder) != content(done) or names(folder / "smoke") != names(done / "smoke"):
            yield f"after the next report there are {names(folder / 'smoke')}"


def undisturbed(scenario, folder):
    """Prepare the scenario twice, act once: folders `before` and `done`; return the operations of the act."""
    scenario.prepare(folder / "before")
    shutil.copytree(folder / "before", folder / "copy")
    scenario.act(folder / "copy")  # imports what it imports
    shutil.copytree(folder / "before", folder / "done")
    return operations(scenario.act, folder / "done")


def interrupted(scenario, folder, number):
    """Crash at an operation, in a copy; return what is wrong with what is left and with what follows."""
    place = folder / f"at-{number}"
    shutil.copytree(folder / "before", place)
    outcome = isolated(crash, scenario.act, number, place)
    if outcome.kind == "raised":
        return [outcome.value]
    outcome = isolated(_faults, scenario, place, folder / "done")
    shutil.rmtree(place)
    return outcome.value if outcome.kind == "returned" else [f"{outcome.kind}: {outcome.value[-500:]}"]


def _faults(scenario, place, done):
    return list(scenario.faults(place, done))


@pytest.fixture(scope="module")
def executor():
    with pool() as processes:
        yield processes


@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", [0.06, pytest.param(1, marks=pytest.mark.faults)])
@pytest.mark.parametrize("scenario", [Sweep(), Put(), Listing(), Publish(), Report()], ids=lambda s: type(s).__name__)
def test_a_crash_at_any_file_operation_leaves_old_or_new(executor, tmp_path, scenario, share):
    outcome = executor.submit(isolated, undisturbed, scenario, tmp_path).result()
    assert outcome.kind == "returned", outcome.value
    found = outcome.value
    rng, repeated = random.Random(0), [n for n, name in enumerate(found) if name == "write"]
    points = [n for n, name in enumerate(found) if name != "write"] + rng.sample(repeated, min(8, len(repeated)))
    points = sorted(rng.sample(points, max(4, round(share * len(points)))))
    outcomes = executor.map(interrupted, itertools.repeat(scenario), itertools.repeat(tmp_path), points)
    wrong = {n: faults for n, faults in zip(points, outcomes, strict=True) if faults}
    print(f"{len(points)} crash points of {len(found)} file operations, {type(scenario).__name__}: {len(wrong)} wrong")
    assert not wrong, "\n".join(f"before {found[n]}, {n}: {'; '.join(f)}" for n, f in wrong.items())
