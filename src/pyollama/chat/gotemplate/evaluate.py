"""Evaluating pipelines: what stands inside of an action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pyollama.chat.gotemplate.fmt import show
from pyollama.chat.gotemplate.functions import Function
from pyollama.chat.gotemplate.nodes import (
    Bool,
    Chain,
    Command,
    Dot,
    Field,
    Identifier,
    Nil,
    Node,
    Number,
    Operand,
    Pipe,
    String,
    Variable,
)
from pyollama.chat.gotemplate.quote import clean, quote
from pyollama.chat.gotemplate.values import (
    INVALID,
    FunctionError,
    Stringer,
    Struct,
    is_true,
    type_name,
)
from pyollama.chat.gotemplate.variables import Variables
from pyollama.errors import TemplateError


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may cost. A run that needs more is an error, not a hang.

    A step is a statement, an expression, 20 characters made by a function or 200 that it reads;
    a call costs another five, a directive of ``printf`` ten. ``output`` is in characters; ``depth``
    counts blocks, pipelines and templates in one another.
    """

    steps: int = 1_000_000
    output: int = 1 << 25
    depth: int = 100


_LONGEST_ERROR = 4000
_CALL = 5
_DIRECTIVE = 10


class _Absent(Enum):
    """Marks that no value came from the pipeline."""

    ABSENT = "absent"


_ABSENT = _Absent.ABSENT


class Evaluator:
    """The state of a run: its variables, what it may still cost, and where it is."""

    def __init__(
        self,
        name: str,
        text: str,
        functions: Mapping[str, Function],
        limits: Limits,
    ) -> None:
        self._name = name  # of the template that is running; its text is that of the outermost
        self._root_name = name
        self._text = text
        self._functions = functions
        self._limits = limits
        self._steps = limits.steps
        self._depth = 0
        self._node: Node | None = None
        self._variables = Variables(INVALID)

    # --- errors and limits ----------------------------------------------------------------------

    def _error(self, complaint: str) -> TemplateError:
        if self._node is None:
            return TemplateError(f"template: {self._name}: {complaint}")
        before = self._text[: self._node.position]
        line = before.count("\n") + 1
        column = len(before[before.rfind("\n") + 1 :].encode("utf-8", "surrogatepass"))
        where = f"{self._root_name}:{line}:{column}"
        told = f"executing {quote(self._name)} at <{self._node}>: {complaint}"
        return TemplateError(clean(f"template: {where}: {told}")[:_LONGEST_ERROR])

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise self._error(f"exceeded the limit of {self._limits.steps} steps")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > self._limits.depth:
            raise self._error(f"exceeded maximum template depth ({self._limits.depth})")

    # --- variables ------------------------------------------------------------------------------

    def _value_of(self, name: str) -> object:
        try:
            return self._variables.get(name)
        except LookupError:
            raise self._error(f"undefined variable: {name}") from None

    def _assign(self, name: str, value: object) -> None:
        self._value_of(name)
        self._variables.assign(name, value)

    # --- expressions ----------------------------------------------------------------------------

    def _pipe(self, pipe: Pipe, dot: object) -> object:
        self._enter()
        self._node = pipe
        value: object = _ABSENT
        for command in pipe.commands:
            self._spend(1)
            value = self._command(command, dot, value)
            if value is None:
                value = INVALID
        for variable in pipe.variables:
            if pipe.is_assignment:
                self._assign(variable.names[0], value)
            else:
                self._variables.declare(variable.names[0], value)
        self._depth -= 1
        return value

    def _command(self, command: Command, dot: object, final: object) -> object:
        first = command.operands[0]
        arguments = command.operands[1:]
        match first:
            case Identifier():
                self._node = first
                return self._function(first.name, command, arguments, dot, final)
            case Field():
                self._node = first
                return self._fields(first, first.names, dot, arguments, final)
            case Chain():
                return self._chain(first, dot, arguments, final)
            case Variable():
                return self._variable(first, arguments, final)
            case Pipe():
                self._refuse_arguments(first, arguments, final)
                return self._pipe(first, dot)
        self._node = first
        self._refuse_arguments(first, arguments, final)
        if isinstance(first, Nil):
            raise self._error("nil is not a command")
        return self._constant(first, dot)

    def _refuse_arguments(
        self, operand: Operand, arguments: Sequence[Operand], final: object
    ) -> None:
        if arguments or final is not _ABSENT:
            raise self._error(f"can't give argument to non-function {operand}")

    def _constant(self, operand: Dot | Bool | Number | String, dot: object) -> object:
        self._node = operand
        if isinstance(operand, Dot):
            return dot
        if operand.value is None:
            raise self._error(f"{operand} overflows int")
        return operand.value

    def _variable(self, variable: Variable, arguments: Sequence[Operand], final: object) -> object:
        self._node = variable
        value = self._value_of(variable.names[0])
        if len(variable.names) == 1:
            self._refuse_arguments(variable, arguments, final)
            return value
        return self._fields(variable, variable.names[1:], value, arguments, final)

    def _chain(
        self, chain: Chain, dot: object, arguments: Sequence[Operand], final: object
    ) -> object:
        self._node = chain
        if isinstance(chain.operand, Nil):
            raise self._error(f"indirection through explicit nil in {chain}")
        value = self._argument(chain.operand, dot)
        return self._fields(chain, chain.names, value, arguments, final)

    def _fields(
        self,
        node: Node,
        names: Sequence[str],
        value: object,
        arguments: Sequence[Operand],
        final: object,
    ) -> object:
        """``value.A.B``; only the last name may have arguments, and only if it is a function."""
        has_arguments = bool(arguments) or final is not _ABSENT
        for name in names[:-1]:
            value = self._field(name, value, False)
        return self._field(names[-1], value, has_arguments)

    def _field(self, name: str, value: object, has_arguments: bool) -> object:
        self._spend(1)
        if value is INVALID:
            return INVALID
        if value is None:
            raise self._error(f"nil pointer evaluating interface {{}}.{name}")
        if name == "String" and isinstance(value, Stringer):
            return value.go_string()
        if isinstance(value, Struct) and name in value.fields:
            if has_arguments:
                raise self._error(f"{name} has arguments but cannot be invoked as function")
            return value.fields[name]
        if isinstance(value, Mapping):
            if has_arguments:
                raise self._error(f"{name} is not a method but has arguments")
            return value.get(name)
        raise self._error(f"can't evaluate field {name} in type {type_name(value)}")

    # --- functions ------------------------------------------------------------------------------

    def _function(
        self,
        name: str,
        node: Node,
        arguments: Sequence[Operand],
        dot: object,
        final: object,
    ) -> object:
        function = self._functions.get(name)
        if function is None:
            raise self._error(f"{quote(name)} is not a defined function")
        self._check_count(name, function, len(arguments), final is not _ABSENT)
        if name in ("and", "or"):
            return self._and_or(name == "or", arguments, dot, final)
        values = [
            self._string_argument(argument, dot)
            if position < function.strings
            else self._argument(argument, dot)
            for position, argument in enumerate(arguments)
        ]
        if final is not _ABSENT:
            if len(values) < function.strings:
                self._check_string(final)
            values.append(final)
        if name == "call":
            values.insert(0, arguments[0] if arguments else show(final))
        self._spend(_CALL + sum(map(_size, values)) // 200)
        if name == "printf" and isinstance(values[0], str):
            self._spend(_DIRECTIVE * values[0].count("%"))
        try:
            result = function.call(*values)
        except FunctionError as error:
            self._node = node
            raise self._error(f"error calling {name}: {error}") from error
        if isinstance(result, str):
            self._charge(result)
        return result

    def _charge(self, result: str) -> None:
        self._spend(len(result) // 20)
        if len(result) > self._limits.output:
            raise self._error(f"exceeded the limit of {self._limits.output} characters")

    def _check_count(self, name: str, function: Function, given: int, has_final: bool) -> None:
        count = given + has_final
        if function.maximum is None:
            if count < function.minimum:
                wanted = f"want at least {function.minimum} got {given}"
                raise self._error(f"wrong number of args for {name}: {wanted}")
        elif not function.minimum <= count <= function.maximum:
            wanted = f"want {function.maximum} got {count}"
            raise self._error(f"wrong number of args for {name}: {wanted}")

    def _and_or(
        self, wanted: bool, arguments: Sequence[Operand], dot: object, final: object
    ) -> object:
        value: object = INVALID
        for argument in arguments:
            value = self._argument(argument, dot)
            if is_true(value) == wanted:
                return value
        return value if final is _ABSENT else final

    def _argument(self, operand: Operand, dot: object) -> object:
        self._node = operand
        self._spend(1)
        match operand:
            case Field():
                return self._fields(operand, operand.names, dot, (), _ABSENT)
            case Variable():
                return self._variable(operand, (), _ABSENT)
            case Pipe():
                return self._pipe(operand, dot)
            case Identifier():
                return self._function(operand.name, operand, (), dot, _ABSENT)
            case Chain():
                return self._chain(operand, dot, (), _ABSENT)
            case Nil():
                return INVALID
        return self._constant(operand, dot)

    def _string_argument(self, operand: Operand, dot: object) -> object:
        self._node = operand
        if isinstance(operand, Nil):
            raise self._error("cannot assign nil to string")
        if isinstance(operand, Bool | Number):
            raise self._error(f"expected string; found {operand}")
        value = self._argument(operand, dot)
        self._check_string(value)
        return value

    def _check_string(self, value: object) -> None:
        if value is INVALID:
            raise self._error("invalid value; expected string")
        if not isinstance(value, str):
            got = "interface {}" if value is None else type_name(value)
            raise self._error(f"wrong type for value; expected string; got {got}")


def _size(value: object) -> int:
    return len(value) if isinstance(value, str | list | tuple) else 0
