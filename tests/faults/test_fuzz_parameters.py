"""Mutated parameter files and command lines are accepted, or refused in a sentence; nothing else happens."""

import itertools
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from isolation import isolated, processes  # noqa: F401  (a fixture)
from mutants import mutant

from lib.notebook.parameters import Plan, read
from lib.system import paths
from lib.system.errors import UserError

SECONDS, CHARACTERS = 2, 650  # of a processor, and of a refusal
#: Events that reading must not cause; audit hooks cannot be removed, so that they ask whether to watch.
FORBIDDEN = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pty.", "tempfile.")
HARMLESS = ("os.listdir", "os.scandir", "os.putenv", "os.unsetenv")
watching: list[str] | None = None
#: YAML, two blanks apart, that is right but means nothing in this notebook; its first name has to be in the refusal.
REFUSED = {
    "beta_sweep": """
        margin: .nan  margin: .inf  margin: -0.01  factor: 0  factor: 1.5  validation: 1  validation: -0.1  betas: []
        betas: [.nan]  seed: -1  seed: 4294967296  seed: 4294967295; repeats: 3  confirm_seed: -1
        confirm_seed: 4294967295; confirm_repeats: 2  confirm_repeats: -1  confirm_repeats: 1000000000
        validation_repeats: 0  repeats: 0  repeats: 1000000000  epochs: 8; epochs: 9  epochs: 1:30  momentum: 0:0.5
    """,
    "settings": """
        readings: [nope]  reading_repeats: 1e12  candidates: []  candidates: [[0.01, 32]]
        candidates: [[0.01, 1.5, 0]]
    """,
    "ablations": """
        gammas: []  gammas: [1.0]  gammas: [[0.9]]  gammas: [[0.9, 1.0, 2.0]]  gammas: [[1.5, 1.0]]
        gammas: [[0.9, -1.0]]
    """,
}


class Verdict(NamedTuple):
    number: int
    kind: str  # "accepted", "refused", or what is wrong
    text: str  # the refusal, or the traceback
    seconds: float


class Accepted(BaseException):
    """Raised by what follows once the parameters are accepted."""


class TooLong(BaseException):
    """Raised where reading takes too long."""


def accept(*_):
    raise Accepted


def stop(*_):
    raise TooLong


def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if watching is not None and (writes or (event.startswith(FORBIDDEN) and event not in HARMLESS)):
        watching.append(f"{event} {arguments!r:.200}")


def judge_all(numbers):
    """Verdict on each mutant; to be called in a process of its own."""
    from lib.system import files

    files.try_writing = accept  # what a report does first with parameters that it accepts
    signal.signal(signal.SIGPROF, stop)
    sys.addaudithook(watch)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        shutil.copytree(paths.PARAMS, "params")
        paths.PARAMS, paths.OUTPUTS = Path(folder, "params"), Path(folder, "outputs")
        verdicts = [_judge(number) for number in numbers]
        assert os.listdir(folder) == ["params"], os.listdir(folder)
        return verdicts


def _judge(number):
    global watching
    case = mutant(number)
    file = paths.PARAMS / case.profile / f"{case.notebook}.yaml"
    shipped = file.read_bytes()
    file.write_bytes(case.content)
    start, watching = time.process_time(), []
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        kind, text = _read(number, case, file)
    except Accepted:
        kind, text = "accepted", ""
    except UserError as error:
        text = str(error)
        kind = (
            "unprintable" if not text.isprintable() else "refused" if len(text) <= CHARACTERS else "too long a sentence"
        )
    except TooLong:
        kind, text = "too slow", ""
    except BaseException as error:
        kind, text = f"traceback: {type(error).__name__}", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        happened, watching, seconds = watching, None, time.process_time() - start
        file.write_bytes(shipped)
    kind, text = ("side effect", str(happened)) if happened else (kind, text)
    return Verdict(number, "too slow" if seconds > SECONDS else kind, text, seconds)


def _read(number, case, file):
    """Read as a report does: one file, or all of a profile, or the command line."""
    from longtail_writeup.__main__ import app

    if case.options:
        words = [word for option in case.options for word in ("-p", option)]
        app(["report", "--profile", case.profile, *words], standalone_mode=False)
        return "no report", ""
    values = [read(file, paths.NOTEBOOKS / f"{case.notebook}.ipynb")]
    if number % 40 == 0:
        plan = Plan.of(case.profile, {})
        values = list(plan.values.values())
        if Plan.model_validate_json(plan.model_dump_json()) != plan:
            return "not the same once saved", str(values)
    wrong = [v for v in _leaves(values) if isinstance(v, float) and not math.isfinite(v)]
    return ("accepted nonsense", str(wrong)) if wrong else ("accepted", "")


def _leaves(value):
    if isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)
    else:
        yield value


def verdicts(executor, parts):
    """Verdict on each mutant; those among which a process hung or died are judged one by one."""
    for part, outcome in zip(parts, executor.map(isolated, itertools.repeat(judge_all), parts), strict=True):
        if outcome.kind == "returned":
            yield from outcome.value
        elif len(part) == 1:
            yield Verdict(part[0], outcome.kind, outcome.value, math.inf)
        else:
            yield from verdicts(executor, [[number] for number in part])


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("count", [300, pytest.param(11_000, marks=pytest.mark.faults)])
def test_mutated_parameters_are_accepted_or_refused_in_a_sentence(processes, count):
    found = list(verdicts(processes, [range(n, min(n + 50, count)) for n in range(0, count, 50)]))
    kinds, wrong = Counter(v.kind for v in found), {v.kind: v for v in found if v.kind not in ("accepted", "refused")}
    longest = max(len(verdict.text) for verdict in found if verdict.kind in ("refused", "too long a sentence"))
    tracebacks, slowest = sum(n for kind, n in kinds.items() if "traceback" in kind), max(v.seconds for v in found)
    print(
        f"{count:,} mutated parameter files and command lines: {tracebacks} tracebacks, longest refusal {longest:,} "
        f"characters, slowest {slowest:.2f} s, {kinds['refused']:,} refused, {kinds['accepted']:,} accepted"
    )
    assert not wrong, "\n".join(
        f"{kinds[v.kind]} × {v.kind}, as mutant {v.number}: {v.text[-300:]}" for v in wrong.values()
    )


@pytest.mark.parametrize(
    ("notebook", "lines"),
    [(name, lines.strip()) for name, text in REFUSED.items() for lines in re.split(r"\s\s+", text.strip())],
)
def test_values_without_a_meaning_are_refused_by_name(tmp_path, notebook, lines):
    file = tmp_path / "x.yaml"
    file.write_text(lines.replace("; ", "\n"))
    with pytest.raises(UserError, match=lines.split(":")[0].rstrip("s")):
        read(file, paths.NOTEBOOKS / f"{notebook}.ipynb")


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: b"---\n" + content + b"\n# \xc3\xa9\n",
        lambda content: b"\n".join(sorted(content.split(b"\n"))),
        lambda content: re.sub(rb"(?m)^(\w+): (\S+)$", rb"'\1' :   \2 # why", content),
        lambda content: content.replace(b"0.02", b"2e-2").replace(b"smoke", b'"smoke"'),
    ],
)
def test_the_same_values_spelt_differently_are_accepted(tmp_path, change):
    notebook, shipped = paths.NOTEBOOKS / "convnet.ipynb", paths.PARAMS / "smoke" / "convnet.yaml"
    file = tmp_path / "x.yaml"
    file.write_bytes(change(shipped.read_bytes()))
    assert read(file, notebook) == read(shipped, notebook)


def command(number):
    """A report of a mutant's profile and options, as a user starts it: its exit status and both streams."""
    case = mutant(number)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(paths.PARAMS, f"{folder}/params")
        Path(folder, "params", case.profile, f"{case.notebook}.yaml").write_bytes(case.content)
        words = [word for option in case.options for word in ("-p", option)]
        result = subprocess.run(
            [sys.executable, "-m", "lib", "report", "--profile", case.profile, *words],
            cwd=paths.ROOT,
            env=os.environ | {"WRITEUP_PARAMS": f"{folder}/params", "WRITEUP_OUTPUTS": f"{folder}/outputs"},
            capture_output=True,
            timeout=120,
        )
        return result.returncode, result.stdout.decode(), result.stderr.decode(), os.listdir(folder)


@pytest.mark.faults
@pytest.mark.timeout(1_800)
def test_the_command_line_refuses_in_a_line_and_does_nothing(processes):
    refused = [v.number for v in verdicts(processes, [range(350)]) if v.kind == "refused"]
    numbers = [n for n in refused if n % 7 == 0][:12] + [n for n in refused if n % 7][:12]
    for number, (status, out, error, left) in zip(numbers, processes.map(command, numbers), strict=True):
        assert (status, out, error.count("\n"), left) == (1, "", 1, ["params"]), (number, error)
        assert error[:-1].isprintable(), number
        assert len(error) <= CHARACTERS, number
    print(f"{len(numbers)} command lines: each refused in one line")
