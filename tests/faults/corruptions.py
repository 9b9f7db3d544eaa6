"""Corruptions of a store's files: of bytes, of the kind of file, of tensors, and of the meaning of a right record."""

import hashlib
import json
import os
import re
import shutil
import socket
from contextlib import chdir

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def _flip(bits):
    def flip(file, rng, other):
        content = bytearray(file.read_bytes() or b"\0")
        for _ in range(bits):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)

    return flip


def _cut(file, rng, other):
    file.write_bytes(file.read_bytes()[: rng.randrange(max(1, file.stat().st_size))])


def _write(content):
    return lambda file, rng, other: file.write_bytes(content)


def _instead(make):
    """Something that is no regular file in a file's place."""

    def replace(file, rng, other):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
        with chdir(file.parent):
            make(file.name)

    return replace


def _socket(name):
    with chdir(os.getcwd()), socket.socket(socket.AF_UNIX) as one:
        one.bind(name)


def _large(file, rng, other):
    with file.open("r+b") as stream:
        stream.truncate(100 << 20)


#: Of any file: the file, random numbers, and the same file of another run.
FILES = {
    **{f"{bits} bits flipped": _flip(bits) for bits in (1, 2, 50)},
    "cut short": _cut,
    "empty": _write(b""),
    "zeros": lambda file, rng, other: file.write_bytes(bytes(file.stat().st_size)),
    "noise": lambda file, rng, other: file.write_bytes(rng.randbytes(5_000)),
    "longer": lambda file, rng, other: file.write_bytes(file.read_bytes() + rng.randbytes(9)),
    "another run's": lambda file, rng, other: shutil.copy(other, file),
    "100 MB": _large,
    "not UTF-8": _write(b'{"format": 1, "record": "\xff\xfe"}'),
    "nested": _write(b"[" * 2_000 + b"]" * 2_000),
    "nested 100,000 deep": _write(b'{"a":' * 100_000),
    "a number": _write(b"1"),
    "null": _write(b"null"),
    "a list": _write(b"[]"),
    "other names": _write(b'{"format": 1, "sha256": "", "record": {}}'),
    "other types": _write(b'{"format": 1, "sha256": 7, "record": [1], "layout": null, "values": 3, "profile": []}'),
    "many digits": _write(b'{"format": ' + b"9" * 5_000 + b"}"),
    "a folder": _instead(os.mkdir),
    "a full folder": _instead(lambda name: os.makedirs(f"{name}/in/it")),
    "a fifo": _instead(os.mkfifo),
    "a socket": _instead(_socket),
    "a link to a device": _instead(lambda name: os.symlink("/dev/zero", name)),
    "a link to nowhere": _instead(lambda name: os.symlink("nowhere", name)),
    "a link to itself": _instead(lambda name: os.symlink(name, name)),
    "unreadable": lambda file, rng, other: file.chmod(0),
}


def _tensors(change):
    """A file of tensors with a right header and right metadata, and other tensors."""

    def rewrite(file, rng, other):
        with safe_open(file, "pt") as stored:
            tensors, metadata = {name: stored.get_tensor(name) for name in stored.keys()}, stored.metadata()  # noqa: SIM118
        change(tensors, rng.choice(sorted(tensors)))
        save_file(tensors, file, metadata)

    return rewrite


def _set(value):
    def change(tensors, name):
        tensors[name].view(-1)[0] = value

    return change


def _double(tensors, name):
    tensors[name] = tensors[name].double()


def _turn(tensors, name):
    tensors[name] = tensors[name].flatten()[None].contiguous()


#: Of weights, logits and checkpoints.
TENSORS = {
    "NaN": _tensors(_set(float("nan"))),
    "infinite": _tensors(_set(float("inf"))),
    "one changed": _tensors(_set(0.123)),
    "all zero": _tensors(lambda tensors, name: tensors[name].zero_()),
    "other shape": _tensors(_turn),
    "other type": _tensors(_double),
    "other name": _tensors(lambda tensors, name: tensors.update({"x": tensors.pop(name)})),
    "one missing": _tensors(lambda tensors, name: tensors.pop(name)),
    "one more": _tensors(lambda tensors, name: tensors.update(x=torch.zeros(3))),
    "another file's": lambda file, rng, other: shutil.copy(
        next(f for f in sorted(other.parent.glob("*.safetensors"), reverse=True) if f.name != file.name), file
    ),
    "header too long": lambda file, rng, other: file.write_bytes(b"\xff" * 7 + b"\x7f" + file.read_bytes()[8:]),
    "header no JSON": lambda file, rng, other: file.write_bytes(file.read_bytes()[:8] + b"{" * 9_999),
}


def _signed(corrupt):
    """A corruption of tensors, with their new checksum in the record if it has one."""

    def rewrite(file, rng, other):
        corrupt(file, rng, other)
        record = file.with_name("record.json")
        whole = json.loads(record.read_text())
        if file.name in whole.get("files", {}):
            whole["files"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
            record.write_text(json.dumps(whole))

    return rewrite


_PLAIN = ("NaN", "infinite", "other shape", "other type", "other name", "one missing", "one more", "another file's")
#: Of weights and logits.
SIGNED = {f"{kind}, signed": _signed(TENSORS[kind]) for kind in _PLAIN}


def _record(change, part="record"):
    """A record of another meaning with the right checksum; or its file, with another part than the record changed."""

    def rewrite(file, rng, other):
        whole = json.loads(file.read_text())
        change(whole[part] if part else whole)
        whole["sha256"] = hashlib.sha256(json.dumps(whole["record"], sort_keys=True).encode()).hexdigest()
        file.write_text(json.dumps(whole))

    return rewrite


def _put(path, value, part="record"):
    def change(record):
        *way, last = (int(step) if step.strip("-").isdigit() else step for step in path.split("."))
        for step in way:
            record = record[step]
        record[last] = value

    return _record(change, part)


#: Of a record: places and their new values, two blanks apart.
_PUT = """
history = []  LAST.epoch = 7  CONFUSION = []  CONFUSION = [[], [], [], [], [], [], [], [], [], []]
CONFUSION = [[1, 2], [3, 4]]  CONFUSION = [[0,0,0,0], [0,0,0,0], [0,0,0,0], [0,0,0,0]]  CONFUSION.0.1 = -5
CONFUSION.0.0 = 4000  CONFUSION.0.1 = 1000000000000000000000000000000  LAST.test.loss = NaN  LAST.test.loss = -1.0
LAST.train_loss = Infinity  LAST.test.calibration_error = 2.0  LAST.train_accuracy = 1.5  LAST.train_accuracy = NaN
LAST.learning_rate = -0.1  LAST.seconds = -3.0  LAST.images_per_second = NaN  LAST.train_hits.0 = 1000000
LAST.train_hits = []  final_train_correct.0 = -1  final_train_correct = [0]  counts = []  counts = [5, 5]
counts.0 = 0  counts.0 = -7  key = "0000000000000000"  key = "../../x"  experiment.seed = 77
experiment.momentum = 7.0  experiment.more = 1  numerics = 99  finished = "not a date"  finished = ""
wall_time = -1.0  wall_time = NaN  machine = {"threads": [1], "device": {"a": 1}}  machine = 7  lib = [1]  origin = 3
"""
NAME = "best.safetensors"
PLACES = {"LAST": "history.-1", "CONFUSION": "history.-1.test.confusion"}
MEANINGS = {
    line: _put(re.sub("[A-Z]+", lambda match: PLACES[match[0]], path), json.loads(value))
    for line in re.split(r"  |\n", _PUT.strip())
    for path, value in [line.split(" = ")]
}
MEANINGS |= {
    "an epoch too few": _record(lambda record: record["history"].pop()),
    "an epoch twice": _record(lambda record: record["history"].append(record["history"][-1])),
    "epochs in another order": _record(lambda record: record["history"].reverse()),
    "ragged confusion": _record(lambda record: record["history"][-1]["test"]["confusion"][3].pop()),
    "confusion beyond floats": _put("history.-1.test.confusion.0.1", 10**400),
}
MEANINGS |= {
    f"{path} = {value}": _put(path, value, part="")
    for path, value in [
        ("format", 2),
        ("format", [1]),
        ("files", []),
        ("files", {NAME: 7}),
        ("files", {NAME: "0" * 64}),
    ]
}
#: Of a record, where no figure changes: it may be listed, but nothing in it may reach the terminal as it is.
TEXTS = {
    "origin: control characters": _put("origin", "\x1b[2J\x1b]0;x\x07\x00a\rb\x9bc"),
    "origin: bidirectional": _put("origin", "\u202egnp.x\u2066"),
    "origin: lines": _put("origin", "params/x.yaml\nRun 0123456789abcdef is fine.\n"),
    "machine: control characters": _put("machine.device", "\x1b[2J<script>"),
}


def _rows(change):
    """Lines of an index whose JSON has another row, and the layout, the stamp and what precedes it as they were."""

    def rewrite(file, rng, other):
        parts = [line.partition("{") for line in file.read_text().splitlines() if line]
        entries = [(before, json.loads(brace + rest)) for before, brace, rest in parts]
        lines = [before + json.dumps(entry | {"row": change(entry["row"])}) for before, entry in entries]
        file.write_text("\n".join(lines))

    return rewrite


#: Of the index.
ROWS = {
    "rows: lists": _rows(lambda row: [row]),
    "rows: null": _rows(lambda row: None),
    "rows: keys alone": _rows(lambda row: {"key": row["key"]}),
    "rows: keys that are lists": _rows(lambda row: {**row, "key": [row["key"]]}),
    "rows: without keys": _rows(lambda row: {name: value for name, value in row.items() if name != "key"}),
    "rows: other types": _rows(lambda row: {**row, "finished": 7, "best_accuracy": "high"}),
    "rows: other figures": _rows(lambda row: {**row, "best_accuracy": 0.999}),
    "rows: a column more": _rows(lambda row: {**row, "more": "\x1b[2J"}),
}
