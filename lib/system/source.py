"""Digests of the code that a program has loaded, which comments, docstrings and formatting do not change.

A digest covers a class or function with all that it refers to and that is not installed, as it is in memory: helper
functions, base classes, constants, values that a closure has bound. `lib.system`, which decides no number, is left out.
"""

import ast
import dis
import hashlib
import importlib.util
import linecache
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
import yaml

#: Digests of the models, losses and data sets as they are shipped, by name.
SHIPPED: dict[str, str] = yaml.safe_load(Path(__file__).with_name("shipped.yaml").read_bytes())
_SITE = Path(torch.__file__).parents[1]  # where torch is installed, other packages are
_NO_CODE = {"ctx", "kind", "type_comment", "type_params"}  # of a node: no meaning, or not in every version of Python
#: Of a class: its place and its documentation, and what differs between versions of Python.
_NO_VALUE = {"__module__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_loaded: dict[str, tuple[Any, str]] = {}  # file -> its module's spec, which a reload replaces, and its content then


def digest(*things: Any) -> str:
    """Return 12 hexadecimal digits for classes, functions, other callables and values."""
    walk = _Walk()
    walk.add(things, frozenset())
    return hashlib.sha256("\n".join(walk.parts).encode()).hexdigest()[:12]


def edited() -> list[Path]:
    """Return the files whose code differs from what a digest has covered, which is still the code in use."""
    return [Path(file) for file, (_, content) in _loaded.items() if _compiled(file)[2] != content]


class _Walk:
    """All that a thing refers to, as texts in an order that depends on its code alone."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.met: dict[Any, tuple[int, Any]] = {}  # id -> position; the thing is kept, or another could get its id

    def add(self, thing: Any, names: frozenset[str]) -> None:
        """Add a thing; of a module, what has one of the `names` in the code that refers to it."""
        if thing is None or isinstance(thing, bool | int | float | complex | str | bytes):
            return self.parts.append(repr(thing))
        if isinstance(thing, tuple):
            return self._all({str(n): value for n, value in enumerate(thing)}, names)
        met = id(thing), names if isinstance(thing, ModuleType) else None
        if met in self.met:
            return self.parts.append(f"@{self.met[met][0]}")
        self.met[met] = len(self.met), thing
        if isinstance(thing, ModuleType):
            self.parts.append(thing.__name__)
            found = names & vars(thing).keys() if _own(thing.__name__) else ()
            return self._all({name: vars(thing)[name] for name in found}, names)
        if isinstance(thing, type | FunctionType) and not _own(thing.__module__):
            return self.parts.append(f"{thing.__module__}.{thing.__qualname__}")
        if isinstance(thing, FunctionType):
            return self._function(thing)
        self._all(_content(thing), names)

    def _all(self, things: Mapping[str, Any], names: frozenset[str]) -> None:
        for name in sorted(things):
            self.parts.append(f".{name}")
            self.add(things[name], names)

    def _function(self, function: FunctionType) -> None:
        code, known = function.__code__, function.__globals__
        self.parts.append(_normal_form(code))
        spec, file = known.get("__spec__"), code.co_filename
        if file not in _loaded or _loaded[file][0] is not spec:
            _loaded[file] = spec, _compiled(file)[2]
        names, imported = _names(code)
        hints = {getattr(hint, "__name__", str(hint)) for hint in function.__annotations__.values()}
        self._all({name: known[name] for name in (names | hints) & known.keys()}, names)
        found = (name for name in imported if _own(name) and importlib.util.find_spec(name.partition(".")[0]))
        self._all({name: importlib.import_module(name) for name in found}, names)
        bound = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        self._all(bound | {"()": function.__defaults__, "(*)": function.__kwdefaults__}, names)


def _content(thing: Any) -> dict[str, Any]:
    """Return the parts of a thing by name: its type and attributes; of what only wraps another thing, that thing."""
    if isinstance(thing, type):
        hints = {name: str(hint) for name, hint in vars(thing).get("__annotations__", {}).items()}
        made = is_dataclass(thing)  # by a decorator: its methods follow from its annotations and defaults
        own = {name: value for name, value in vars(thing).items() if name not in _NO_VALUE}
        own = {name: value for name, value in own.items() if not (made and name.startswith("__"))}
        return own | {"": thing.__qualname__, "()": thing.__bases__, "__annotations__": hints}
    if isinstance(thing, torch.Tensor | np.ndarray):
        tensor = torch.as_tensor(thing).detach().cpu().contiguous().flatten()
        content = hashlib.sha256(tensor.view(torch.uint8).numpy().tobytes()).hexdigest()
        return {"": f"{thing.dtype} {tuple(thing.shape)}", "content": content}
    if isinstance(thing, Mapping):
        return {repr(key): value for key, value in thing.items()}
    if isinstance(thing, list):
        return {"": tuple(thing)}
    if isinstance(thing, set | frozenset):
        return {"": tuple(sorted(map(repr, thing)))}
    if isinstance(thing, partial):
        return {"": thing.func, "()": thing.args, **thing.keywords}
    if isinstance(thing, property):
        return {"": thing.fget, "=": thing.fset}
    if isinstance(thing, staticmethod | classmethod | MethodType):
        return {"": thing.__func__, "self": getattr(thing, "__self__", None)}
    if isinstance(thing, CellType):  # of a closure; empty while the function that it will hold is defined
        return {"": thing.cell_contents} if thing != CellType() else {}
    if not hasattr(thing, "__dict__"):
        return {"": type(thing), "value": re.sub(" at 0x[0-9a-f]+", "", repr(thing))}
    return {"": type(thing)} | {name: value for name, value in vars(thing).items() if name not in _NO_VALUE}


def _own(module: str) -> bool:
    """Return True for a module that is not installed, and for one without a file, as a notebook's."""
    top, file = module.partition(".")[0], getattr(sys.modules.get(module), "__file__", None)
    if top == "lib" or top in sys.stdlib_module_names:
        return top == "lib" and not module.startswith("lib.system")
    installed = file and (Path(file).is_relative_to(_SITE) or {"site-packages", "dist-packages"} & {*Path(file).parts})
    return not installed


@cache
def _names(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of globals and attributes in a function's code, and the modules that it imports itself."""
    codes = [*_codes(code)]
    steps = (step for each in codes for step in dis.get_instructions(each))
    imported = frozenset(step.argval for step in steps if step.opname == "IMPORT_NAME" and step.argval)
    return frozenset(name for each in codes for name in each.co_names), imported


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _codes(value)


@cache
def _normal_form(code: CodeType) -> str:
    """Return a function's source, normalised; its byte code where the source is not, or is no longer, to be found."""
    tree, codes, _ = _compiled(code.co_filename)
    if code not in codes:
        return " ".join(f"{each.co_code.hex()} {each.co_names} {_plain(each)}" for each in _codes(code))
    nodes = (node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS))
    starts = ((min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]), node) for node in nodes)
    named = (node for line, node in starts if line == code.co_firstlineno)
    return "".join(_normal(node) for node in named if getattr(node, "name", "<lambda>") == code.co_name)


def _plain(code: CodeType) -> list[str]:
    return sorted(repr(value) for value in code.co_consts if not isinstance(value, CodeType))


def _compiled(file: str) -> tuple[ast.AST, frozenset[CodeType], str]:
    """Return the syntax tree of a file as it is now, its functions' code, and its content in a normal form."""
    linecache.checkcache(file)
    return _compile("".join(linecache.getlines(file)), file)


@lru_cache(maxsize=20)
def _compile(text: str, file: str) -> tuple[ast.AST, frozenset[CodeType], str]:
    try:
        tree = ast.parse(text)
        return tree, frozenset(_codes(compile(text, file, "exec", dont_inherit=True))), _normal(tree)
    except (SyntaxError, ValueError):  # half written
        return ast.Module([], []), frozenset(), ""


def _normal(node: Any) -> str:
    """Return a node without positions, docstrings and empty parts, the same in every version of Python."""
    if isinstance(node, list):
        kept = [e for e in node if not (isinstance(e, ast.Expr) and isinstance(e.value, ast.Constant))]
        return f"[{','.join(map(_normal, kept))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, []) and name not in _NO_CODE}
    return f"{type(node).__name__}({','.join(f'{name}={_normal(value)}' for name, value in fields.items())})"
