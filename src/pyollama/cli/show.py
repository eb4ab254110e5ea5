"""``pyollama show``"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import click

from pyollama.cli.arguments import exactly
from pyollama.cli.completion import stored_models
from pyollama.cli.connection import connect
from pyollama.cli.formats import count
from pyollama.cli.main import Command
from pyollama.cli.paths import model_named

JSON = dict[str, Any]
Row = tuple[str, ...]
_PARTS = ("license", "modelfile", "parameters", "system", "template")
_WITHOUT_NEWLINE = ("system", "template")
_WIDTH = 30
_TEXT_WIDTH = 100
_ARRAY_COLUMNS = 10


@click.command("show", cls=Command, usage="MODEL")
@click.argument("arguments", nargs=-1, shell_complete=stored_models)
@click.option("--license", is_flag=True, help="Show the model's license")
@click.option("--modelfile", is_flag=True, help="Show the model's modelfile")
@click.option("--parameters", is_flag=True, help="Show the model's parameters")
@click.option("--system", is_flag=True, help="Show the model's system")
@click.option("--template", is_flag=True, help="Show the model's template")
@click.option("-v", "--verbose", is_flag=True, help="Show metadata and tensors too")
def command(arguments: tuple[str, ...], verbose: bool, **flags: bool) -> None:
    """Show what is known of a model"""
    (model,) = exactly(1, arguments)
    chosen = [part for part in _PARTS if flags[part]]
    if len(chosen) > 1:
        raise click.UsageError(
            "only one of '--license', '--modelfile', '--parameters', '--system',"
            " or '--template' can be specified"
        )
    with connect() as client:
        shown = client.show(model_named(model, client), verbose=verbose)
    if chosen:
        click.echo(shown.get(chosen[0], ""), nl=chosen[0] not in _WITHOUT_NEWLINE)
    else:
        click.echo(summary(shown, verbose=verbose), nl=False)


def summary(shown: JSON, *, verbose: bool) -> str:
    """The sections of a model's description, as text."""
    sections: list[tuple[str, Sequence[Row], int]] = [("Model", _model_rows(shown), _WIDTH)]
    add = sections.append
    if shown.get("capabilities"):
        add(("Capabilities", [(name,) for name in shown["capabilities"]], _WIDTH))
    if shown.get("projector_info"):
        add(("Projector", _projector_rows(shown["projector_info"]), _WIDTH))
    if shown.get("parameters"):
        rows = [tuple(line.split(maxsplit=1)) for line in shown["parameters"].splitlines()]
        add(("Parameters", rows, _WIDTH))
    if verbose:
        info = sorted(shown.get("model_info", {}).items())
        add(("Metadata", [(key, _value(value)) for key, value in info], _WIDTH))
        tensors = [
            (tensor["name"], tensor["type"], f"[{' '.join(map(str, tensor['shape']))}]")
            for tensor in shown.get("tensors", [])
        ]
        add(("Tensors", tensors, _WIDTH))
    for title in ("System", "License"):
        if text := shown.get(title.lower()):
            add((title, _first_lines(text), _TEXT_WIDTH))
    return "".join(_section(*section) for section in sections)


def _model_rows(shown: JSON) -> list[Row]:
    info, details = shown.get("model_info", {}), shown["details"]
    architecture = info.get("general.architecture", details.get("family", ""))
    parameters = info.get("general.parameter_count")
    rows = [
        ("Remote model", shown.get("remote_model", "")),
        ("Remote URL", shown.get("remote_host", "")),
        ("architecture", architecture),
        ("parameters", count(parameters) if parameters else details["parameter_size"]),
        ("context length", _number(info.get(f"{architecture}.context_length"))),
        ("embedding length", _number(info.get(f"{architecture}.embedding_length"))),
        ("quantization", details["quantization_level"]),
        ("requires", shown.get("requires", "")),
    ]
    return [row for row in rows if row[1]]


def _projector_rows(info: JSON) -> list[Row]:
    architecture = info.get("general.architecture", "")
    rows = [
        ("architecture", architecture),
        ("parameters", count(info.get("general.parameter_count") or 0)),
        ("embedding length", _number(info.get(f"{architecture}.vision.embedding_length"))),
        ("dimensions", _number(info.get(f"{architecture}.vision.projection_dim"))),
    ]
    return [row for row in rows if row[1]]


def _number(value: object) -> str:
    return "" if value is None else f"{value:.0f}" if isinstance(value, float) else str(value)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return _array(value)
    return str(value)


def _array(values: list[Any]) -> str:
    """As many elements as fit into about ten columns, but one at least, and how many more."""
    shown: list[str] = []
    columns = 1
    for value in values:
        text = _value(value)
        columns += len(text) + (2 if shown else 0)
        if shown and columns > _ARRAY_COLUMNS:
            return f"[{' '.join(shown)} ...+{len(values) - len(shown)} more]"
        shown.append(text)
    return f"[{' '.join(shown)}]"


def _first_lines(text: str) -> list[Row]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [(line,) for line in (*lines[:2], *(["..."] if len(lines) > 2 else []))]


def _section(title: str, rows: Sequence[Row], width: int) -> str:
    wrapped = [line for row in rows for line in _wrap(row, width)]
    columns = max((len(row) for row in wrapped), default=0)
    widths = [
        max((len(row[i]) for row in wrapped if i < len(row)), default=0) for i in range(columns)
    ]
    lines = [f"  {title}"]
    for row in wrapped:
        cells = (cell.ljust(widths[i]) for i, cell in enumerate(row))
        lines.append("    " + "".join(cell + "    " for cell in cells))
    return "\n".join([*lines, "", ""])


def _wrap(row: Row, width: int) -> list[Row]:
    """Spread a last cell with blanks over several rows where it is wider than ``width``."""
    *keys, last = row
    if len(last) <= width or " " not in last:
        return [row]
    first, *rest = textwrap.wrap(last, width)
    return [(*keys, first), *((*[""] * len(keys), line) for line in rest)]
