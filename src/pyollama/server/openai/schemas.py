"""Bodies of OpenAI's requests, as they come in. Absent and ``null`` are the same.

Fields of type ``Any`` have several forms; ``convert`` reads them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pyollama.types import JSON


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all bodies; keys that OpenAI's API does not have either are ignored."""


class FunctionCall(Body, frozen=True, kw_only=True):
    name: str = ""
    arguments: Any = ""


class ToolCall(Body, frozen=True, kw_only=True):
    id: str = ""
    type: str = "function"
    function: FunctionCall = FunctionCall()


class Message(Body, frozen=True, kw_only=True):
    role: str = ""
    content: Any = None
    reasoning: str = ""
    name: str = ""
    tool_calls: list[ToolCall] = []
    tool_call_id: str = ""


class Function(Body, frozen=True, kw_only=True):
    name: str = ""
    description: str = ""
    parameters: JSON = {}


class Tool(Body, frozen=True, kw_only=True):
    type: str = ""
    function: Function = Function()


class StreamOptions(Body, frozen=True, kw_only=True):
    include_usage: bool = False


class Reasoning(Body, frozen=True, kw_only=True):
    effort: str = ""


class JsonSchema(Body, frozen=True, kw_only=True):
    schema: JSON | None = None


class ResponseFormat(Body, frozen=True, kw_only=True):
    type: str = ""
    json_schema: JsonSchema = JsonSchema()


class Generation(Body, frozen=True, kw_only=True):
    """What both ways to generate text have in common; the last three are Ollama's."""

    model: str = ""
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    n: int = 1
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: Any = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] = {}
    options: JSON = {}
    num_ctx: int | None = None
    keep_alive: Any = None


class ChatCompletion(Generation, frozen=True, kw_only=True):
    messages: list[Message] = []
    max_completion_tokens: int | None = None
    response_format: ResponseFormat = ResponseFormat()
    tools: list[Tool] = []
    tool_choice: Any = None
    parallel_tool_calls: bool = True
    reasoning: Reasoning = Reasoning()
    reasoning_effort: str = ""
    logprobs: bool = False
    top_logprobs: int = 0
    render_only: bool = msgspec.field(default=False, name="_debug_render_only")
    modalities: list[str] = []
    audio: Any = None
    functions: Any = None
    function_call: Any = None
    web_search_options: Any = None
    verbosity: str = "medium"


class Completion(Generation, frozen=True, kw_only=True):
    prompt: Any = None
    suffix: str = ""
    logprobs: int | None = None
    echo: bool = False
    best_of: int | None = None


class Embeddings(Body, frozen=True, kw_only=True):
    """The last four are Ollama's."""

    model: str = ""
    input: Any = None
    encoding_format: str = "float"
    dimensions: int | None = None
    truncate: bool = False
    options: JSON = {}
    num_ctx: int | None = None
    keep_alive: Any = None
