"""The typed stub and the module agree on names, parameters and defaults."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import pyollama
from pyollama import _native

PACKAGE = Path(pyollama.__file__).parent
STUB = ast.parse((PACKAGE / "_native.pyi").read_text("utf-8"))
CLASSES: list[ast.ClassDef] = [n for n in STUB.body if isinstance(n, ast.ClassDef)]
FUNCTIONS: list[ast.FunctionDef] = [n for n in STUB.body if isinstance(n, ast.FunctionDef)]


def public(names: Iterable[str]) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def test_module_names() -> None:
    described = {node.name for node in CLASSES} | {node.name for node in FUNCTIONS}
    own = {
        name
        for name in public(vars(_native))
        if getattr(getattr(_native, name), "__module__", None) == "pyollama._native"
    }
    assert own == described


@pytest.mark.parametrize("node", CLASSES, ids=lambda node: node.name)
def test_members_of_classes(node: ast.ClassDef) -> None:
    described = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
    described |= {
        item.target.id
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }
    cls = getattr(_native, node.name)
    members = public(vars(cls))
    if issubclass(cls, tuple):
        members = set(cls._fields)
    assert members == public(described)


def arguments(node: ast.FunctionDef) -> list[tuple[str, str]]:
    """Each parameter with the source of its default."""
    spec = node.args
    out = []
    positional = [*spec.posonlyargs, *spec.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(spec.defaults))
    for argument, default in zip(positional, [*defaults, *spec.defaults], strict=True):
        out.append((argument.arg, "" if default is None else repr(ast.literal_eval(default))))
    for argument, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
        out.append((argument.arg, "" if default is None else repr(ast.literal_eval(default))))
    return out


def check_signature(node: ast.FunctionDef, function: object) -> None:
    assert callable(function)
    parameters = inspect.signature(function).parameters.values()
    found = [
        (p.name, "" if p.default is inspect.Parameter.empty else repr(p.default))
        for p in parameters
    ]
    assert found == arguments(node), node.name


@pytest.mark.parametrize("node", FUNCTIONS, ids=lambda node: node.name)
def test_signatures_of_functions(node: ast.FunctionDef) -> None:
    check_signature(node, getattr(_native, node.name))


@pytest.mark.parametrize("node", CLASSES, ids=lambda node: node.name)
def test_signatures_of_methods(node: ast.ClassDef) -> None:
    cls = getattr(_native, node.name)
    for item in node.body:
        is_property = isinstance(item, ast.FunctionDef) and item.decorator_list
        if isinstance(item, ast.FunctionDef) and not is_property and item.name[0] != "_":
            check_signature(item, getattr(cls, item.name))


def test_a_missing_extension_says_what_to_run(tmp_path: Path) -> None:
    package = tmp_path / "pyollama"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_native.py").write_text((PACKAGE / "_native.py").read_text("utf-8"))
    run = subprocess.run(
        [sys.executable, "-S", "-c", "import pyollama._native"],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        text=True,
    )
    assert run.returncode == 1
    assert "make setup" in run.stderr
