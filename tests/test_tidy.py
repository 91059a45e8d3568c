"""The ratchet: sizes, and habits that a linter does not know, held over the whole tree.

Knows the source only as text and syntax trees, and imports nothing of dynamokv. Every rule is a
function from one file to its findings, so that ``test_every_rule_bites`` can show each a bad file.

What was too large when a limit came in stands in ``OLD_OFFENDERS`` with its size of today: it may
shrink (then its entry shrinks with it), and it may not grow. No entry is ever added for new code.
"""

from __future__ import annotations

import ast
import configparser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final, TypeGuard

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]

FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 70
COLUMNS_MAX: Final = 100
CLASS_METHODS_MAX: Final = 20

OLD_OFFENDERS: Final[dict[str, int]] = {}
"""Finding, as the failing test prints it, to its size. Empty is the goal."""

PURE_PACKAGES: Final = ("causality", "merkle", "protocol", "ring")
FORBIDDEN_DIRECTLY: Final = frozenset({"importlib", "pathlib", "shutil", "tempfile"})
"""Beyond the list in setup.cfg. ``ports`` needs the name ``Path``, so a contract that also looks at
indirect imports cannot refuse these."""

SYNC_CALLS: Final = frozenset({"fsync", "fdatasync", "F_FULLFSYNC"})
SYNC_HOME: Final = "dynamokv/storage/files.py"
PICKLERS: Final = frozenset({"cloudpickle", "dill", "marshal", "pickle", "shelve"})
POLLING_HOME: Final = "tests/waiting.py"
"""The one file that may sleep: its helpers poll a condition until a deadline."""


@dataclass(frozen=True)
class Source:
    """One Python file. ``name`` is its path from the root, with slashes."""

    name: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parse(self.text)

    @property
    def package(self) -> str:
        """``protocol`` for dynamokv/protocol/requests/put.py, and nothing for files of the root or
        tests."""
        parts = PurePosixPath(self.name).parts
        return parts[1] if parts[0] == "dynamokv" and len(parts) > 2 else ""


@cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def read_tree(folder: str) -> tuple[Source, ...]:
    paths = sorted((ROOT / folder).rglob("*.py"))
    sources = [Source(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in paths]
    assert sources, f"no Python files under {folder}/: this test looked at nothing"
    return tuple(sources)


@cache
def forbidden_in_pure_code() -> frozenset[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", "utf-8")
    listed = config["importlinter:contract:purity"]["forbidden_modules"].split()
    assert {"asyncio", "os", "random", "socket", "threading", "time", "zmq"} <= set(listed)
    return FORBIDDEN_DIRECTLY | frozenset(listed)


# Sizes: a finding has a number, which OLD_OFFENDERS may hold.


def oversized(source: Source) -> Iterator[tuple[str, int]]:
    lines = source.text.splitlines()
    if len(lines) > FILE_LINES_MAX:
        yield f"{source.name}: lines", len(lines)
    columns = max(map(len, lines), default=0)
    if columns > COLUMNS_MAX:
        yield f"{source.name}: columns", columns
    for name, node in _definitions(source.tree, ""):
        if isinstance(node, ast.ClassDef):
            methods = sum(isinstance(child, _FUNCTIONS) for child in node.body)
            if methods > CLASS_METHODS_MAX:
                yield f"{source.name}: methods of {name}", methods
        else:
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > FUNCTION_LINES_MAX:
                yield f"{source.name}: lines of {name}", size


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, _Definition]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _Definition):
            yield prefix + child.name, child
            yield from _definitions(child, f"{prefix}{child.name}.")
        else:
            yield from _definitions(child, prefix)


def test_nothing_outgrows_its_limit() -> None:
    found = dict(
        finding
        for source in (*read_tree("dynamokv"), *read_tree("tests"))
        for finding in oversized(source)
    )
    too_large = {name: size for name, size in found.items() if size > OLD_OFFENDERS.get(name, 0)}
    loose = {name: size for name, size in OLD_OFFENDERS.items() if found.get(name, 0) < size}
    assert not too_large, f"split these: {_listed(too_large)}"
    assert not loose, f"lower these entries of OLD_OFFENDERS, or remove them: {_listed(loose)}"


def _listed(sizes: dict[str, int]) -> str:
    return "".join(f"\n  {name}: {size}" for name, size in sorted(sizes.items()))


# Habits: a finding is a line number and what is wrong there.

Finding = tuple[int, str]
Rule = Callable[[Source], Iterator[Finding]]


def bare_except(source: Source) -> Iterator[Finding]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield node.lineno, "bare except: name what is expected"


def builtin_hash(source: Source) -> Iterator[Finding]:
    """Salted per process, so that it must not reach wire, disk or placement."""
    for node in ast.walk(source.tree):
        if _calls(node, "hash"):
            yield node.lineno, "hash() differs between processes: use ring.hashing"


def fsync_outside_files(source: Source) -> Iterator[Finding]:
    """One file knows how durability is asked for, so one file can be made to fail."""
    if source.name == SYNC_HOME:
        return
    for line, names in _imports(source.tree):
        for name in names:
            if name.rpartition(".")[2] in SYNC_CALLS:
                yield line, f"{name} belongs in {SYNC_HOME}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr in SYNC_CALLS:
            owner = ast.unparse(node.value)
            if owner in ("os", "fcntl"):
                yield node.lineno, f"{owner}.{node.attr} belongs in {SYNC_HOME}"


def pickling(source: Source) -> Iterator[Finding]:
    """Bytes from a peer or a disk must never choose what code runs."""
    for line, names in _imports(source.tree):
        if any(name.lstrip("_").partition(".")[0] in PICKLERS for name in names):
            yield line, "no pickle, and nothing built on it"


def impure(source: Source) -> Iterator[Finding]:
    """The core decides and never performs: see docs/ARCHITECTURE.md."""
    if source.package not in PURE_PACKAGES:
        return
    forbidden = forbidden_in_pure_code()
    for line, names in _imports(source.tree):
        for name in names:
            if forbidden & {name, *_parents(name)}:
                yield line, f"{name} may not be imported by {source.package}: hand it in"
    for node in ast.walk(source.tree):
        if _calls(node, "open") or _calls(node, "__import__"):
            yield node.lineno, f"{source.package} opens no file and imports nothing at run time"


def sleeping(source: Source) -> Iterator[Finding]:
    """A sleep is either too short on a busy machine or too long on every other."""
    if source.name == POLLING_HOME:
        return
    bare = {
        name
        for _, names in _imports(source.tree)
        for name in names
        if name in ("time.sleep", "asyncio.sleep")
    }
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or _is_zero(node.args[:1]):
            continue
        if ast.unparse(node.func) in ("time.sleep", "asyncio.sleep") or (
            bare and _calls(node, "sleep")
        ):
            yield node.lineno, f"tests never sleep: wait for a condition (see {POLLING_HOME})"


def _calls(node: ast.AST, name: str) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _is_zero(arguments: list[ast.expr]) -> bool:
    return bool(arguments) and isinstance(arguments[0], ast.Constant) and arguments[0].value == 0


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _imports(tree: ast.Module) -> Iterator[tuple[int, list[str]]]:
    """Imports at any depth, by full dotted name: ``from os import path`` gives ``os.path``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield node.lineno, [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, [f"{node.module or ''}.{alias.name}" for alias in node.names]


RULES: Final[tuple[tuple[Rule, tuple[str, ...]], ...]] = (
    (bare_except, ("dynamokv", "tests")),
    (builtin_hash, ("dynamokv",)),
    (fsync_outside_files, ("dynamokv",)),
    (pickling, ("dynamokv",)),
    (impure, ("dynamokv",)),
    (sleeping, ("tests",)),
)


@pytest.mark.parametrize(("rule", "folders"), RULES, ids=[rule.__name__ for rule, _ in RULES])
def test_rule_holds(rule: Rule, folders: tuple[str, ...]) -> None:
    findings = [
        f"\n  {source.name}:{line}: {what}"
        for folder in folders
        for source in read_tree(folder)
        for line, what in rule(source)
    ]
    assert not findings, "".join(findings)


def test_purity_has_something_to_hold() -> None:
    seen = {source.package for source in read_tree("dynamokv")} & set(PURE_PACKAGES)
    assert {"causality", "protocol", "ring"} <= seen


def test_every_folder_is_a_package() -> None:
    """A folder without ``__init__.py`` works from a checkout and is missing from the wheel."""
    folders = {str(PurePosixPath(source.name).parent) for source in read_tree("dynamokv")}
    packages = {
        str(PurePosixPath(s.name).parent) for s in read_tree("dynamokv") if "__init__" in s.name
    }
    assert folders == packages


BAD_FILES: Final[tuple[tuple[Rule, str, str], ...]] = (
    (bare_except, "dynamokv/x.py", "try:\n    f()\nexcept:\n    pass\n"),
    (builtin_hash, "dynamokv/ring/x.py", "slot = hash(key) % 8\n"),
    (fsync_outside_files, "dynamokv/storage/lsm/journal.py", "import os\nos.fsync(3)\n"),
    (fsync_outside_files, "dynamokv/storage/lsm/journal.py", "from os import fdatasync\n"),
    (pickling, "dynamokv/wire/x.py", "import pickle\n"),
    (pickling, "dynamokv/wire/x.py", "def f():\n    from _pickle import loads\n"),
    (impure, "dynamokv/protocol/x.py", "import time\n"),
    (impure, "dynamokv/causality/x.py", "import os.path\n"),
    (impure, "dynamokv/merkle/x.py", "from concurrent.futures import Executor\n"),
    (impure, "dynamokv/ring/x.py", "from dynamokv import config\n"),
    (impure, "dynamokv/ring/x.py", "from dynamokv.config import NodeConfig\n"),
    (impure, "dynamokv/ring/x.py", "rows = open(name).read()\n"),
    (sleeping, "tests/x.py", "import time\ntime.sleep(0.1)\n"),
    (sleeping, "tests/x.py", "import asyncio\nasync def f():\n    await asyncio.sleep(delay)\n"),
    (sleeping, "tests/x.py", "from time import sleep\nsleep(1)\n"),
)


@pytest.mark.parametrize(("rule", "name", "text"), BAD_FILES)
def test_every_rule_bites(rule: Rule, name: str, text: str) -> None:
    assert list(rule(Source(name, text)))


GOOD_FILES: Final[tuple[tuple[Rule, str, str], ...]] = (
    (bare_except, "dynamokv/x.py", "try:\n    f()\nexcept ValueError:\n    g()\n"),
    (builtin_hash, "dynamokv/x.py", "def f(self):\n    return self.hash(1), hash_key(2)\n"),
    (fsync_outside_files, SYNC_HOME, "import os\nos.fsync(3)\n"),
    (fsync_outside_files, "dynamokv/x.py", "file.sync()\nmode = Durability.FSYNC\n"),
    (pickling, "dynamokv/x.py", "import json\n"),
    (impure, "dynamokv/runtime/x.py", "import time\n"),
    (impure, "dynamokv/ring/x.py", "from dynamokv import limits\nimport bisect\n"),
    (sleeping, "tests/x.py", "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n"),
    (sleeping, "tests/x.py", "clock.sleep(5)\n"),
    (sleeping, POLLING_HOME, "import time\ntime.sleep(0.01)\n"),
)


@pytest.mark.parametrize(("rule", "name", "text"), GOOD_FILES)
def test_no_rule_bites_the_innocent(rule: Rule, name: str, text: str) -> None:
    assert not list(rule(Source(name, text)))


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("a = 1\n" * 401, ("dynamokv/x.py: lines", 401)),
        ("a" * 101, ("dynamokv/x.py: columns", 101)),
        ("class A:\n" + "    def f(self): ...\n" * 21, ("dynamokv/x.py: methods of A", 21)),
        (
            "class A:\n  def f(self):\n" + "    g()\n" * 70,
            ("dynamokv/x.py: lines of A.f", 71),
        ),
    ],
)
def test_every_size_is_measured(text: str, finding: tuple[str, int]) -> None:
    assert list(oversized(Source("dynamokv/x.py", text))) == [finding]


def test_a_file_at_its_limits_passes() -> None:
    body = "class A:\n" + "    def f(self): ...\n" * 20 + "def g():\n" + "    h()\n" * 69
    filler = "#" * 100 + "\n"
    text = body + filler * (400 - body.count("\n"))
    assert not list(oversized(Source("dynamokv/x.py", text)))
