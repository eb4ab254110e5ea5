"""What a template says about its model: the variables it uses and the tags it writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pyollama.chat.gotemplate import Template
from pyollama.chat.gotemplate.nodes import (
    Action,
    Block,
    Call,
    Chain,
    Command,
    Field,
    If,
    Pipe,
    Range,
    Statement,
    Text,
    Variable,
    With,
)

Branch = If | Range | With


@dataclass(frozen=True, slots=True)
class Tags:
    """A pair of tags around a piece of text."""

    opening: str
    closing: str


def _pipe_names(pipe: Pipe | None) -> Iterator[str]:
    for command in pipe.commands if pipe else ():
        for operand in command.operands:
            match operand:
                case Field():
                    yield from operand.names
                case Variable():
                    yield from operand.names[1:]
                case Chain():
                    yield from operand.names
                    if isinstance(operand.operand, Pipe):
                        yield from _pipe_names(operand.operand)
                case Pipe():
                    yield from _pipe_names(operand)


def _walk(block: Block | None) -> Iterator[Statement]:
    """Every statement, outer ones first."""
    for statement in block.statements if block else ():
        yield statement
        if isinstance(statement, Branch):
            yield from _walk(statement.body)
            yield from _walk(statement.otherwise)


def field_names(template: Template) -> frozenset[str]:
    """The names of all fields that occur anywhere in a template."""
    return frozenset(
        name
        for block in template.templates.values()
        for statement in _walk(block)
        if isinstance(statement, Action | Call | Branch)
        for name in _pipe_names(statement.pipe)
    )


# --- thinking -----------------------------------------------------------------------------------


def thinking_tags(template: Template) -> Tags | None:
    """The tags around the thinking of earlier messages.

    They are the first and the last text of the innermost block, in a range over the messages, that
    mentions ``.Thinking``; the last such block counts.
    """
    opening = closing = ""
    for block in _thinking_blocks(template.root, in_messages=False):
        first, last = block.statements[0], block.statements[-1]
        opening = first.text.strip() if isinstance(first, Text) else opening
        closing = last.text.strip() if isinstance(last, Text) else closing
    return Tags(opening, closing) if opening and closing else None


def _thinking_blocks(block: Block, in_messages: bool) -> Iterator[Block]:
    for statement in block.statements:
        if isinstance(statement, Action | Branch) and in_messages and _is_thinking(statement.pipe):
            yield block
        if not isinstance(statement, Branch):
            continue
        inside = in_messages
        if isinstance(statement, Range):
            inside = "Messages" in _pipe_names(statement.pipe)
        yield from _thinking_blocks(statement.body, inside)
        if statement.otherwise is not None:
            yield from _thinking_blocks(statement.otherwise, inside)


def _is_thinking(pipe: Pipe) -> bool:
    return any(
        (isinstance(operand, Field) and operand.names[0] == "Thinking")
        or (isinstance(operand, Pipe) and _is_thinking(operand))
        for command in pipe.commands
        for operand in command.operands
    )


# --- tool calls ---------------------------------------------------------------------------------


def tool_call_tag(template: Template) -> str:
    """What a tool call begins with: the first text of ``{{ if .ToolCalls }}`` up to a brace."""
    branch = _tool_calls_branch(template.root)
    text = _first_text(branch.body) if branch is not None else None
    tag = (text or "").replace("\r\n", "\n").partition("{")[0].strip()
    return tag or "{"


def _tool_calls_branch(block: Block | None) -> If | None:
    return next((s for s in _walk(block) if isinstance(s, If) and _asks_for_calls(s.pipe)), None)


def _asks_for_calls(pipe: Pipe) -> bool:
    return any(
        isinstance(operand, Field) and "ToolCalls" in operand.names
        for command in pipe.commands
        for operand in command.operands
    )


def _first_text(block: Block) -> str | None:
    """The first text that is not blank, unless a value is written before it."""
    for statement in block.statements:
        if isinstance(statement, Text) and statement.text.strip():
            return statement.text
        if isinstance(statement, Action) and any(_pipe_names(statement.pipe)):
            return None
        if isinstance(statement, Branch):
            text = _first_text(statement.body)
            if text is not None:
                return text
    return None


# --- the end of an answer -----------------------------------------------------------------------


def cut_after_response(block: Block) -> Block:
    """``block`` up to and including the first ``.Response``: what follows comes after an answer."""
    return _Cutter().block(block)


class _Cutter:
    def __init__(self) -> None:
        self._done = False

    def block(self, block: Block) -> Block:
        kept: list[Statement] = []
        for statement in block.statements:
            if self._done:
                break
            kept.append(self._statement(statement))
        return replace(block, statements=tuple(kept))

    def _statement(self, statement: Statement) -> Statement:
        if isinstance(statement, Branch):
            body = self.block(statement.body)
            otherwise = statement.otherwise
            if otherwise is not None:
                # Only one of the two is written, but Go's order decides for both.
                otherwise = None if self._done else self.block(otherwise)
            return replace(statement, body=body, otherwise=otherwise)
        if isinstance(statement, Action):
            return replace(statement, pipe=self._pipe(statement.pipe))
        return statement

    def _pipe(self, pipe: Pipe) -> Pipe:
        """``{{ .Response | f }}`` loses what is done to the response."""
        commands: list[Command] = []
        for command in pipe.commands:
            if self._done:
                break
            operands = []
            for operand in command.operands:
                if self._done:
                    break
                operands.append(operand)
                self._done = isinstance(operand, Field) and "Response" in operand.names
            commands.append(replace(command, operands=tuple(operands)))
        return replace(pipe, commands=tuple(commands))
