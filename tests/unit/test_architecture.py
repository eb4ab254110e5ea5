"""The rules of docs/architecture.md that a parser can check."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "pyollama"
MODULES = sorted(PACKAGE.rglob("*.py"))
UNIT_TESTS = sorted((ROOT / "tests" / "unit").rglob("*.py"))

MAX_LINES = 600
SOURCE_FOLDERS = ("bench", "src", "tests", "training", "wheels")
SOURCE_KINDS = {".cpp", ".hpp", ".py", ".pxd", ".pxi", ".pyi", ".pyx"}

LEAVES = {"errors", "types", "durations", "config", "log"}

# What a room (a folder or a module of the package) may import besides itself.
ARROWS: dict[str, set[str]] = {
    "__init__": {"errors", "types", "llm"},
    "__main__": {"cli"},
    "_native": set(),
    "errors": set(),
    "types": {"errors"},
    "durations": {"errors"},
    "config": {"errors", "durations"},
    "log": {"config"},
    "exchange": {"errors"},
    "client": {"errors", "types", "exchange"},
    "builtin": set(),
    "engine": {"errors", "types"},
    "worker": {"errors", "types", "log", "engine"},
    "chat": {"errors", "types"},
    "convert": {"errors", "types"},
    "store": {"errors", "types", "builtin"},
    "templating": {"errors", "types", "chat"},
    "runtime": LEAVES | {"chat", "engine", "store", "worker"},
    "service": LEAVES | {"chat", "engine", "runtime", "store"},
    "server": LEAVES | {"service"},
    "llm": LEAVES | {"builtin", "chat", "engine", "runtime", "service", "store"},
    "compose": LEAVES
    | {
        "builtin",
        "chat",
        "convert",
        "engine",
        "runtime",
        "server",
        "service",
        "store",
        "templating",
        "worker",
    },
    "cli": LEAVES | {"client", "compose", "gateway"},
    "gateway": LEAVES | {"client"},
}

# Pure formats that a room may use although the rest of their room is out of bounds for it.
FORMATS = {("cli", "pyollama.store.modelfile"), ("cli", "pyollama.store.name")}

# Modules with a narrower rule than their room.
KNOW_THE_BINDING = {
    "chat/native.py",
    "compose.py",
    "convert/quantizing.py",
    "engine/guidance/process.py",
    "engine/native_backend.py",
    "runtime/devices.py",
    "templating/process.py",
    "worker/llama.py",
}
POLICY = {
    f"engine/{name}.py"
    for name in "cells edits prefix radix scheduler sequence slot slots waiting".split()
}
CLOCKS_AND_IO = {"asyncio", "io", "os", "pathlib", "socket", "threading", "time"}
DIALECTS = ("ollama", "openai", "anthropic")

# Libraries that belong to one edge of the program.
EDGES = {
    "fastapi": {"server", "gateway", "compose"},
    "starlette": {"server", "gateway"},
    "pydantic": {"server", "gateway"},
    "uvicorn": {"server", "gateway", "compose"},
    "click": {"cli"},
    "prompt_toolkit": {"cli"},
    "rich": {"cli"},
    "llguidance": {"engine"},
    "llama_cpp": set[str](),
}


class Import(NamedTuple):
    """An import; ``path`` is below the package (of a test: below the repository)."""

    path: str
    line: int
    module: str

    @property
    def room(self) -> str:
        """The room that imports."""
        return self.path.partition("/")[0].removesuffix(".py")

    @property
    def library(self) -> str:
        return self.module.partition(".")[0]

    @property
    def target(self) -> str:
        """The room that is imported; empty for other packages and for pyollama itself."""
        package, _, rest = self.module.partition(".")
        return rest.partition(".")[0] if package == "pyollama" else ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


def imports_of(path: Path) -> Iterator[Import]:
    """Every import of a file, also those inside functions, as absolute dotted names."""
    name = path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text(), name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module == "pyollama":
            for alias in node.names:
                yield Import(name, node.lineno, f"pyollama.{alias.name}")
        elif isinstance(node, ast.ImportFrom):
            yield Import(name, node.lineno, "." * node.level + (node.module or ""))


@cache
def package_imports() -> list[Import]:
    return [found for path in MODULES for found in imports_of(path)]


def violations(imports: Iterator[Import]) -> list[str]:
    return [str(found) for found in imports]


def test_every_room_has_arrows() -> None:
    assert {found.room for found in package_imports()} <= ARROWS.keys()


def test_imports_are_absolute() -> None:
    assert not violations(i for i in package_imports() if i.module.startswith("."))


def test_imports_point_downwards() -> None:
    assert not violations(
        i
        for i in package_imports()
        if i.target in ARROWS.keys() - {"_native"}
        and i.target not in {i.room, *ARROWS[i.room]}
        and (i.room, i.module) not in FORMATS
    )


def test_libraries_stay_at_their_edge() -> None:
    assert not violations(
        i for i in package_imports() if i.library in EDGES and i.room not in EDGES[i.library]
    )


def test_the_package_does_not_lean_on_what_is_around_it() -> None:
    assert not violations(i for i in package_imports() if i.library in SOURCE_FOLDERS)


def test_one_module_of_a_room_knows_the_binding() -> None:
    assert not violations(
        i for i in package_imports() if i.target == "_native" and i.path not in KNOW_THE_BINDING
    )


def test_unit_tests_do_without_the_binding() -> None:
    found = (i for path in UNIT_TESTS for i in imports_of(path))
    assert not violations(i for i in found if i.target == "_native")


def test_scheduling_is_pure() -> None:
    assert not violations(
        i for i in package_imports() if i.path in POLICY and i.library in CLOCKS_AND_IO
    )


def test_dialects_do_not_know_each_other() -> None:
    assert not violations(
        i
        for i in package_imports()
        for dialect in DIALECTS
        if i.path.startswith(f"server/{dialect}/")
        and i.module.startswith(tuple(f"pyollama.server.{d}" for d in DIALECTS if d != dialect))
    )


def test_files_can_be_read_in_one_sitting() -> None:
    files = (p for folder in SOURCE_FOLDERS for p in (ROOT / folder).rglob("*"))
    lengths = {p: len(p.read_text().splitlines()) for p in files if p.suffix in SOURCE_KINDS}
    assert not {str(p): n for p, n in lengths.items() if n > MAX_LINES}
