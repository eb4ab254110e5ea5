"""Running a template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

from pyollama.chat.gotemplate.evaluate import Evaluator, Limits
from pyollama.chat.gotemplate.fmt import show
from pyollama.chat.gotemplate.functions import Function
from pyollama.chat.gotemplate.nodes import (
    Action,
    Block,
    Break,
    Call,
    Continue,
    If,
    Pipe,
    Range,
    Statement,
    Text,
    With,
)
from pyollama.chat.gotemplate.quote import quote
from pyollama.chat.gotemplate.values import INVALID, is_nil, is_true, sorted_items
from pyollama.chat.gotemplate.variables import Variables


class _Jump(Enum):
    """How a block was left before its end."""

    BREAK = "break"
    CONTINUE = "continue"


class Execution(Evaluator):
    """One run of a template. Not to be used twice."""

    def __init__(
        self,
        name: str,
        text: str,
        templates: Mapping[str, Block],
        functions: Mapping[str, Function],
        limits: Limits,
    ) -> None:
        super().__init__(name, text, functions, limits)
        self._templates = templates
        self._room = limits.output
        self._out: list[str] = []

    def run(self, block: Block, data: object) -> str:
        self._variables = Variables(data)
        try:
            self._block(block, data)
        except RecursionError:
            raise self._error("nested too deeply") from None
        return "".join(self._out)

    # --- statements -----------------------------------------------------------------------------

    def _block(self, block: Block, dot: object) -> _Jump | None:
        self._enter()
        jump = None
        for statement in block.statements:
            jump = self._statement(statement, dot)
            if jump is not None:
                break
        self._depth -= 1
        return jump

    def _statement(self, statement: Statement, dot: object) -> _Jump | None:
        self._spend(1)
        self._node = statement
        match statement:
            case Text():
                self._write(statement.text)
            case Action():
                value = self._pipe(statement.pipe, dot)
                if not statement.pipe.variables:
                    self._node = statement
                    self._print(value)
            case If() | With():
                return self._condition(statement, dot)
            case Range():
                return self._range(statement, dot)
            case Call():
                self._call(statement, dot)
            case Break():
                return _Jump.BREAK
            case Continue():
                return _Jump.CONTINUE
        return None

    def _print(self, value: object) -> None:
        if is_nil(value):
            self._write("<no value>")
            return
        text = value if type(value) is str else show(value)
        self._spend(len(text) // 100)
        self._write(text)

    def _condition(self, branch: If | With, dot: object) -> _Jump | None:
        mark = self._variables.mark
        value = self._pipe(branch.pipe, dot)
        jump = None
        if is_true(value):
            jump = self._block(branch.body, value if isinstance(branch, With) else dot)
        elif branch.otherwise is not None:
            jump = self._block(branch.otherwise, dot)
        self._variables.forget(mark)
        return jump

    def _call(self, call: Call, dot: object) -> None:
        block = self._templates.get(call.name)
        if block is None:
            raise self._error(f"template {quote(call.name)} not defined")
        self._enter()
        argument = INVALID if call.pipe is None else self._pipe(call.pipe, dot)
        outer = self._name, self._variables
        self._name, self._variables = call.name, Variables(argument)
        self._block(block, argument)
        self._name, self._variables = outer
        self._depth -= 1

    # --- range ----------------------------------------------------------------------------------

    def _range(self, loop: Range, dot: object) -> _Jump | None:
        mark = self._variables.mark
        value = self._pipe(loop.pipe, dot)
        inner = self._variables.mark
        empty = True
        jump = None
        for key, item in self._entries(loop, value):
            empty = False
            self._spend(1)
            self._set_loop_variables(loop.pipe, key, item)
            left = self._block(loop.body, item)
            self._variables.forget(inner)
            if left is _Jump.BREAK:
                break
        if empty and loop.otherwise is not None:
            jump = self._block(loop.otherwise, dot)
        self._variables.forget(mark)
        return jump

    def _entries(self, loop: Range, value: object) -> Iterator[tuple[object, object]]:
        if is_nil(value):
            return iter(())
        if isinstance(value, int) and not isinstance(value, bool):
            if len(loop.pipe.variables) > 1:
                raise self._error(f"can't use {value} to iterate over more than one variable")
            return ((INVALID, number) for number in range(value))
        if isinstance(value, Mapping):
            self._spend(len(value))
            return iter(sorted_items(value))
        if isinstance(value, Sequence) and not isinstance(value, str):
            return enumerate(value)
        raise self._error(f"range can't iterate over {show(value)}")

    def _set_loop_variables(self, pipe: Pipe, key: object, item: object) -> None:
        if not pipe.variables:
            return
        values = (key, item) if len(pipe.variables) > 1 else (item,)
        if pipe.is_assignment:
            for variable, value in zip(pipe.variables, values, strict=True):
                self._assign(variable.names[0], value)
        else:
            self._variables.assign_last(values)

    def _write(self, text: str) -> None:
        self._room -= len(text)
        if self._room < 0:
            raise self._error(f"exceeded the limit of {self._limits.output} characters of output")
        self._out.append(text)
