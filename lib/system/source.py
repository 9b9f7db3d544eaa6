"""Digests of source code, which comments, docstrings and formatting do not change.

A digest covers a definition and all that it refers to by name, there and in other modules that are not installed:
helper functions, base classes, constants. A module that is referred to counts as a whole. `lib.system` is left out.
"""

import ast
import hashlib
import inspect
import sys
from collections import defaultdict
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import yaml

from lib.system.errors import UserError

#: Digests of the models, losses and data sets as they are shipped, by name.
SHIPPED: dict[str, str] = yaml.safe_load(Path(__file__).with_name("shipped.yaml").read_bytes())
_STANDARD = Path(ast.__file__).parent
_SKIPPED = {"ctx", "kind", "type_comment", "type_params"}  # of a node: no meaning, or not in every version of Python
_BLOCKS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
Definitions = dict[str, tuple[str, frozenset[str]]]  # name in a module -> its source, normalised, and the names in it
_loaded: dict[str, tuple[Any, Definitions]] = {}  # module -> its spec, which a reload replaces, and its definitions


def digest(*things: Any) -> str:
    """Return 12 hexadecimal digits for classes, functions, partial ones, modules and plain values.

    Raises UserError where the source is no longer what this program has loaded: it would train something else.
    """
    parts: dict[str, str] = {}
    for number, thing in enumerate(things):
        _add(thing, str(number), parts)
    return hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()[:12]


def remember(module: ModuleType) -> Definitions:
    """Return the definitions of a module as it was when it was first asked for, or last reloaded."""
    spec, found = _loaded.get(module.__name__, (None, None))
    if found is None or spec is not module.__spec__:
        found = _read(module)
        _loaded[module.__name__] = module.__spec__, found
    return found


def _add(thing: Any, name: str, parts: dict[str, str]) -> None:
    """Add the source of a thing to the parts, with all that it refers to; what has no name of its own, under `name`."""
    if isinstance(thing, partial):
        for number, each in [("", thing.func), *enumerate(thing.args), *thing.keywords.items()]:
            _add(each, f"{name}.{number}", parts)
    elif isinstance(thing, ModuleType):
        parts |= {f"{thing.__name__}.{n}": text for n, (text, _) in remember(thing).items()} if _own(thing) else {}
    elif isinstance(thing, type | FunctionType):
        module, top = sys.modules.get(thing.__module__), thing.__qualname__.partition(".")[0]
        if module and _own(module) and top in remember(module):
            _define(module, top, parts)
        elif not module or _own(module) or not hasattr(module, "__file__"):  # a lambda, or defined in a notebook
            functions = [each for each in (thing, *vars(thing).values()) if isinstance(each, FunctionType)]
            with suppress(OSError):  # typed in, and nowhere to be read
                parts[name] = "".join("".join(map(inspect.getsource, functions)).split())
    else:
        with suppress(ValueError, SyntaxError):  # other objects than plain values
            parts[name] = repr(ast.literal_eval(repr(thing)))


def _define(module: ModuleType, name: str, parts: dict[str, str]) -> None:
    full, (text, names) = f"{module.__name__}.{name}", remember(module)[name]
    if full in parts:
        return
    if _read(module).get(name) != (text, names):
        raise UserError(f"{name} has changed in {module.__file__} since it was loaded; restart the program or kernel.")
    parts[full] = text
    for other in names & vars(module).keys():
        if other in remember(module):
            _define(module, other, parts)
        else:  # imported
            _add(vars(module)[other], f"{module.__name__}.{other}", parts)


@lru_cache
def _own(module: ModuleType) -> bool:
    file = Path(getattr(module, "__file__", None) or _STANDARD)
    installed = file.is_relative_to(_STANDARD) or {"site-packages", "dist-packages"} & {*file.parts}
    return not installed and not module.__name__.startswith("lib.system")


def _read(module: ModuleType) -> Definitions:
    """Return the definitions in a module's file as it is now; none where it cannot be read."""
    try:
        file = Path(module.__file__ or "")
        return _parse(file, (state := file.stat()).st_mtime_ns, state.st_size)
    except (OSError, SyntaxError, ValueError):  # gone, or half written
        return {}


@lru_cache(maxsize=100)
def _parse(file: Path, *stamp: int) -> Definitions:
    texts: dict[str, str] = defaultdict(str)
    names: dict[str, set[str]] = defaultdict(set)
    for statement in ast.parse(file.read_bytes()).body:
        nodes = [*ast.walk(statement)]
        stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        blocks = {node.name for node in nodes if isinstance(node, _BLOCKS)}
        for name in {statement.name} if isinstance(statement, _BLOCKS) else stored | blocks:
            texts[name] += _normal(statement)
            names[name] |= {node.id for node in nodes if isinstance(node, ast.Name)}
    return {name: (texts[name], frozenset(names[name])) for name in texts}


def _normal(node: Any) -> str:
    """Return a node without positions, docstrings and empty parts, the same in every version of Python."""
    if isinstance(node, list):
        kept = [e for e in node if not (isinstance(e, ast.Expr) and isinstance(e.value, ast.Constant))]
        return f"[{','.join(map(_normal, kept))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, []) and name not in _SKIPPED}
    return f"{type(node).__name__}({','.join(f'{name}={_normal(value)}' for name, value in fields.items())})"
