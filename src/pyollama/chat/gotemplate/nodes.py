"""The tree a template is parsed into.

Nodes are immutable. ``position`` is the offset in characters that errors point to; ``str()`` gives
a node as a template would write it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyollama.chat.gotemplate.quote import quote


@dataclass(frozen=True, slots=True)
class Node:
    position: int


@dataclass(frozen=True, slots=True)
class Text(Node):
    text: str

    def __str__(self) -> str:
        return self.text


# --- expressions --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dot(Node):
    def __str__(self) -> str:
        return "."


@dataclass(frozen=True, slots=True)
class Nil(Node):
    def __str__(self) -> str:
        return "nil"


@dataclass(frozen=True, slots=True)
class Bool(Node):
    value: bool

    def __str__(self) -> str:
        return "true" if self.value else "false"


@dataclass(frozen=True, slots=True)
class Number(Node):
    """``value`` is ``None`` for an integer that does not fit into 64 bits with a sign."""

    literal: str
    value: int | float | complex | None

    def __str__(self) -> str:
        return self.literal


@dataclass(frozen=True, slots=True)
class String(Node):
    literal: str
    value: str

    def __str__(self) -> str:
        return self.literal


@dataclass(frozen=True, slots=True)
class Identifier(Node):
    """The name of a function."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Field(Node):
    """``.A.B``"""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "." + ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Variable(Node):
    """``$x.A.B``; the first name begins with the dollar sign."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Chain(Node):
    """``(...).A.B``"""

    operand: Operand
    names: tuple[str, ...]

    def __str__(self) -> str:
        inner = f"({self.operand})" if isinstance(self.operand, Pipe) else str(self.operand)
        return inner + "." + ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Command(Node):
    """An operand, or a function with its arguments."""

    operands: tuple[Operand, ...]

    def __str__(self) -> str:
        return " ".join(
            f"({operand})" if isinstance(operand, Pipe) else str(operand)
            for operand in self.operands
        )


@dataclass(frozen=True, slots=True)
class Pipe(Node):
    """Commands, each one getting the value of the one before as its last argument."""

    variables: tuple[Variable, ...]
    is_assignment: bool
    commands: tuple[Command, ...]

    def __str__(self) -> str:
        declared = ", ".join(map(str, self.variables))
        if declared:
            declared += " = " if self.is_assignment else " := "
        return declared + " | ".join(map(str, self.commands))


Operand = Dot | Nil | Bool | Number | String | Identifier | Field | Variable | Chain | Pipe


# --- statements ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Action(Node):
    pipe: Pipe

    def __str__(self) -> str:
        return f"{{{{{self.pipe}}}}}"


@dataclass(frozen=True, slots=True)
class Block(Node):
    """A sequence of statements."""

    statements: tuple[Statement, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.statements))


@dataclass(frozen=True, slots=True)
class Branch(Node):
    """``if``, ``range`` or ``with``."""

    pipe: Pipe
    body: Block
    otherwise: Block | None

    def __str__(self) -> str:
        keyword = type(self).__name__.lower()
        otherwise = "" if self.otherwise is None else f"{{{{else}}}}{self.otherwise}"
        return f"{{{{{keyword} {self.pipe}}}}}{self.body}{otherwise}{{{{end}}}}"


@dataclass(frozen=True, slots=True)
class If(Branch):
    pass


@dataclass(frozen=True, slots=True)
class Range(Branch):
    pass


@dataclass(frozen=True, slots=True)
class With(Branch):
    pass


@dataclass(frozen=True, slots=True)
class Break(Node):
    def __str__(self) -> str:
        return "{{break}}"


@dataclass(frozen=True, slots=True)
class Continue(Node):
    def __str__(self) -> str:
        return "{{continue}}"


@dataclass(frozen=True, slots=True)
class Call(Node):
    """``{{template "name" pipe}}``"""

    name: str
    pipe: Pipe | None

    def __str__(self) -> str:
        argument = "" if self.pipe is None else f" {self.pipe}"
        return f"{{{{template {quote(self.name)}{argument}}}}}"


Statement = Text | Action | If | Range | With | Break | Continue | Call


def is_empty(block: Block) -> bool:
    """Whether a block holds nothing but white space."""
    return all(isinstance(part, Text) and not part.text.strip() for part in block.statements)
