"""Bodies of Ollama's requests, as they come in. Absent and ``null`` are the same."""

from __future__ import annotations

from typing import Any

import msgspec

from pyollama.types import JSON


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all bodies; unknown keys are ignored."""


class FunctionCall(Body, frozen=True, kw_only=True):
    name: str = ""
    arguments: JSON = {}
    index: int = 0


class ToolCall(Body, frozen=True, kw_only=True):
    id: str = ""
    function: FunctionCall = FunctionCall()


class Message(Body, frozen=True, kw_only=True):
    role: str = ""
    content: str = ""
    thinking: str = ""
    images: list[str] = []
    tool_calls: list[ToolCall] = []
    tool_name: str = ""
    tool_call_id: str = ""


class Function(Body, frozen=True, kw_only=True):
    name: str = ""
    description: str = ""
    parameters: JSON = {}


class Tool(Body, frozen=True, kw_only=True):
    type: str = ""
    function: Function = Function()


class Generation(Body, frozen=True, kw_only=True):
    """What ``generate`` and ``chat`` have in common."""

    model: str = ""
    stream: bool = True
    format: Any = None
    keep_alive: Any = None
    options: JSON = {}
    think: Any = None
    truncate: bool = True
    shift: bool | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    render_only: bool = msgspec.field(default=False, name="_debug_render_only")


class Generate(Generation, frozen=True, kw_only=True):
    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    context: list[int] | None = None
    raw: bool = False
    images: list[str] = []


class Chat(Generation, frozen=True, kw_only=True):
    messages: list[Message] = []
    tools: list[Tool] = []


class Embed(Body, frozen=True, kw_only=True):
    model: str = ""
    input: Any = None
    truncate: bool = True
    dimensions: int = 0
    keep_alive: Any = None
    options: JSON = {}


class Embeddings(Body, frozen=True, kw_only=True):
    """The older form, with a single prompt."""

    model: str = ""
    prompt: str = ""
    keep_alive: Any = None
    options: JSON = {}


class Named(Body, frozen=True, kw_only=True):
    """A request about one model; ``name`` is the older key."""

    model: str = ""
    name: str = ""

    @property
    def wanted(self) -> str:
        return self.model or self.name


class Show(Named, frozen=True, kw_only=True):
    verbose: bool = False
    system: str = ""
    options: JSON = {}


class Transfer(Named, frozen=True, kw_only=True):
    insecure: bool = False
    limit_rate: int = 0
    stream: bool = True


class Copy(Body, frozen=True, kw_only=True):
    source: str = ""
    destination: str = ""


class Create(Named, frozen=True, kw_only=True):
    stream: bool = True
    from_: str = msgspec.field(default="", name="from")
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    draft_files: dict[str, str] | None = None
    template: str = ""
    system: str = ""
    license: Any = None
    parameters: JSON = {}
    messages: list[Message] = []
    quantize: str = ""
    quantization: str = ""
    draft_quantize: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    remote_host: str = ""
    info: JSON = {}
