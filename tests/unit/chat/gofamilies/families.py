"""Go templates in the shapes that families of models bring, and conversations to render with them.

To renew what Go answers, run in this folder: ``python families.py | go run main.go > corpus.jsonl``.
"""

# ruff: noqa: E501

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pyollama.chat.families import FAMILIES

FOLDER = Path(__file__).parent
_LAST = "{{- $last := eq (len (slice $.Messages $i)) 1 }}"
_CHATML_END = '{{- if and $last (ne .Role "assistant") }}<|im_start|>assistant\n{{ end }}'

TEMPLATES = {
    # --- ChatML and what grew out of it
    "chatml-prefill": (
        "{{- range $i, $_ := .Messages }}" + _LAST + "<|im_start|>{{ .Role }}\n{{ .Content }}"
        "{{ if or (not $last) (ne .Role \"assistant\") }}<|im_end|>\n{{ end }}" + _CHATML_END
        + "{{- end }}"
    ),
    "qwen2.5": """
{{- if or .System .Tools }}<|im_start|>system
{{- if .System }}
{{ .System }}
{{- end }}
{{- if .Tools }}

# Tools

<tools>
{{- range .Tools }}
{"type": "function", "function": {{ .Function }}}
{{- end }}
</tools>
{{- end }}<|im_end|>
{{ end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
{{- if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
{{ else if eq .Role "assistant" }}<|im_start|>assistant
{{ if .Content }}{{ .Content }}
{{- else if .ToolCalls }}<tool_call>
{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
{{ end }}</tool_call>
{{- end }}{{ if not $last }}<|im_end|>
{{ end }}
{{- else if eq .Role "tool" }}<|im_start|>user
<tool_response>
{{ .Content }}
</tool_response><|im_end|>
{{ end }}
{{- if and (ne .Role "assistant") $last }}<|im_start|>assistant
{{ end }}
{{- end }}""",
    "qwen3": """
{{- $asked := -1 -}}
{{- range $i, $m := .Messages }}{{ if eq $m.Role "user" }}{{ $asked = $i }}{{ end }}{{ end -}}
{{- if or .System .Tools }}<|im_start|>system
{{ if .System }}{{ .System }}

{{ end }}{{ with .Tools }}<tools>{{ range . }}
{{ json . }}{{ end }}
</tools>{{ end }}<|im_end|>
{{ end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
{{- if eq .Role "user" }}<|im_start|>user
{{ .Content }}
{{- if and $.IsThinkSet (eq $i $asked) }} /{{ if not $.Think }}no_{{ end }}think{{ end }}<|im_end|>
{{ else if eq .Role "assistant" }}<|im_start|>assistant
{{ if (and $.IsThinkSet (and .Thinking (or $last (gt $i $asked)))) -}}
<think>{{ .Thinking }}</think>
{{ end -}}
{{ if .Content }}{{ .Content }}{{ end }}
{{- range .ToolCalls }}<tool_call>
{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
</tool_call>{{ end }}
{{- if not $last }}<|im_end|>
{{ end }}
{{- else if eq .Role "tool" }}<|im_start|>user
<tool_response>{{ .Content }}</tool_response><|im_end|>
{{ end }}
{{- if and (ne .Role "assistant") $last }}<|im_start|>assistant
{{ if and $.IsThinkSet (not $.Think) }}<think>

</think>

{{ end }}{{ end }}
{{- end }}""",
    "qwq": (
        "{{- range .Messages }}{{ if ne .Role \"system\" }}<|im_start|>{{ .Role }}\n{{ .Content }}"
        "<|im_end|>\n{{ end }}{{ else }}nobody spoke{{ end }}<|im_start|>assistant\n<think>\n"
    ),
    "hermes3": """
{{- if .System }}<|im_start|>system
{{ .System }}{{ if .Tools }} Functions: {{ range $i, $t := .Tools }}{{ if $i }}, {{ end }}
{{- $t.Function.Name }}({{ range $k, $p := $t.Function.Parameters.Properties }}{{ $k }}: {{ $p.Type }};
{{- end }}){{ end }}{{ end }}<|im_end|>
{{ end }}
{{- range .Messages }}{{ if ne .Role "system" }}<|im_start|>{{ .Role }}
{{ .Content }}{{ range .ToolCalls }}
<tool_call>{{ json .Function }}</tool_call>{{ end }}<|im_end|>
{{ end }}{{ end }}<|im_start|>assistant
""",
    "smollm2": """{{ if .Tools }}<|im_start|>system
You may call these: [{{ range .Tools }}{{ .Function }}{{ end }}]<|im_end|>
{{ else if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{ range .Messages }}{{ if eq .Role "tool" }}<|im_start|>user
Result of {{ .ToolName }} ({{ .ToolCallID }}): {{ .Content }}<|im_end|>
{{ else if .ToolCalls }}<|im_start|>assistant
<tool_call>[{{ range .ToolCalls }}{{ . }}{{ end }}]</tool_call><|im_end|>
{{ else if ne .Role "system" }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}{{ end }}<|im_start|>assistant
""",
    "granite-vision": (
        "{{ range .Messages }}<|{{ .Role }}|>\n{{ range .Images }}<image>{{ end }}{{ .Content }}\n"
        "{{ end }}<|assistant|>\n"
    ),
    # --- Llama
    "llama3": (
        "{{ range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n"
        "{{ .Content }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "llama3.1": """
{{- if or .System .Tools }}<|start_header_id|>system<|end_header_id|>
{{- if .System }}

{{ .System }}
{{- end }}
{{- if .Tools }}

Use the result of a call to answer.
{{- end }}<|eot_id|>
{{- end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}<|start_header_id|>user<|end_header_id|>
{{- if and $.Tools $last }}

Answer with {"name": …, "parameters": …} for one of these:

{{ range $.Tools }}
{{- . }}
{{ end }}
{{- end }}

{{ .Content }}<|eot_id|>{{ if $last }}<|start_header_id|>assistant<|end_header_id|>

{{ end }}
{{- else if eq .Role "assistant" }}<|start_header_id|>assistant<|end_header_id|>
{{- if .ToolCalls }}
{{ range .ToolCalls }}
{"name": "{{ .Function.Name }}", "parameters": {{ .Function.Arguments }}}{{ end }}
{{- else }}

{{ .Content }}
{{- end }}{{ if not $last }}<|eot_id|>{{ end }}
{{- else if eq .Role "tool" }}<|start_header_id|>ipython<|end_header_id|>

{{ .Content }}<|eot_id|>{{ if $last }}<|start_header_id|>assistant<|end_header_id|>

{{ end }}
{{- end }}
{{- end }}""",
    "llama2": (
        "{{- $system := .System }}{{ range $i, $m := .Messages }}"
        "{{- if eq .Role \"user\" }}<s>[INST] {{ if and $system (le $i 1) }}<<SYS>>\n{{ $system }}\n"
        "<</SYS>>\n\n{{ end }}{{ .Content }} [/INST]{{ else if eq .Role \"assistant\" }}"
        " {{ .Content }} </s>{{ end }}{{ end }}"
    ),
    "llama4": (
        "{{ range .Messages }}<|header_start|>{{ .Role }}<|header_end|>\n\n"
        "{{ with .ToolCalls }}<|python_start|>{{ range . }}[{{ .Function.Name }}("
        "{{ range $k, $v := .Function.Arguments }}{{ $k }}={{ json $v }} {{ end }})]{{ end }}"
        "<|python_end|>{{ else }}{{ .Content }}{{ end }}<|eot|>{{ end }}"
        "<|header_start|>assistant<|header_end|>\n\n"
    ),
    "firefunction": """
{{- if or .System .Tools }}<|start_header_id|>system<|end_header_id|>
{{ with .System }}{{ . }}
{{ end }}functools[{{ range $i, $_ := .Tools }}{{ if gt $i 0 }},{{ end }}{{ .Function.Name | printf "%q" }}{{ end }}]
<|eot_id|>{{ end }}
{{- range .Messages }}<|start_header_id|>
{{- if eq .Role "user" "assistant" "system" }}{{ .Role }}{{ else }}tool{{ end }}<|end_header_id|>
{{ if .ToolCalls }} functools[
{{- range $i, $_ := .ToolCalls }}{{ if $i }}, {{ end }}{"name": {{ json .Function.Name }}, "arguments": {{ .Function.Arguments }}}
{{- end }}]
{{- else }}{{ .Content }}{{ end }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>
""",
    "functionary": """{{ range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>

{{ if eq .Role "system" }}{{ .Content }}{{ range $.Tools }}
// {{ .Function.Description }}
type {{ .Function.Name }} = (_: {
{{- range $name, $prop := .Function.Parameters.Properties }}
// {{ $prop.Description }}
{{ $name }}{{ $required := false }}{{ range $.Tools }}{{ range .Function.Parameters.Required -}}
{{ if eq . $name }}{{ $required = true }}{{ break }}{{ end }}{{ end }}{{ end -}}
{{ if not $required }}?{{ end }}: {{ toTypeScriptType $prop }},
{{- end }}
}) => any;{{ end }}{{ else }}{{ .Content }}{{ end }}<|eot_id|>{{ end }}""",
    # --- Mistral
    "mistral": """
{{- range $i, $_ := .Messages }}
{{- if eq .Role "user" }}
{{- if and (le (len (slice $.Messages $i)) 2) $.Tools }}[AVAILABLE_TOOLS] {{ $.Tools }}[/AVAILABLE_TOOLS]
{{- end }}[INST] {{ if and (eq (len (slice $.Messages $i)) 1) $.System }}{{ $.System }}

{{ end }}{{ .Content }}[/INST]
{{- else if eq .Role "assistant" }}
{{- if .Content }} {{ .Content }}
{{- else if .ToolCalls }}[TOOL_CALLS] [
{{- range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ json .Function.Arguments }}}
{{- end }}]
{{- end }}</s>
{{- else if eq .Role "tool" }}[TOOL_RESULTS] {"content": {{ json .Content }}} [/TOOL_RESULTS]
{{- end }}
{{- end }}""",
    "mistral-small": """
{{- range $index, $_ := .Messages }}
{{- if eq .Role "system" }}[SYSTEM_PROMPT]{{ .Content }}[/SYSTEM_PROMPT]
{{- if $.Tools }}[AVAILABLE_TOOLS]{{ range $.Tools }}{{ . }}{{ end }}[/AVAILABLE_TOOLS]{{ end }}
{{- else if eq .Role "user" }}[INST]{{ .Content }}[/INST]
{{- else if eq .Role "assistant" }}{{ with .Content }}{{ . }}</s>{{ end }}
{{- range $i, $_ := .ToolCalls }}{{ if eq $i 0 }}[TOOL_CALLS]{{ end }}{{ .Function.Name }}[CALL_ID]{{ .ID }}[ARGS]{{ .Function.Arguments }}{{ end }}
{{- if .ToolCalls }}</s>{{ end }}
{{- else }}[TOOL_RESULTS]{{ .ToolCallID }}[TOOL_CONTENT]{{ .Content }}[/TOOL_RESULTS]
{{- end }}
{{- end }}""",
    "magistral": (
        "{{ range $i, $_ := .Messages }}{{ if eq .Role \"assistant\" }}{{ if .Thinking }}[THINK]"
        "{{ .Thinking }}[/THINK]{{ end }}{{ .Content }}</s>{{ else if eq .Role \"user\" }}"
        "[INST]{{ .Content }}[/INST]{{ end }}{{ end }}{{ if .Think }}[THINK]{{ end }}"
    ),
    # --- Gemma
    "gemma2": (
        "{{- $system := \"\" }}{{ range .Messages }}{{ if eq .Role \"system\" }}"
        "{{ $system = .Content }}{{ else if eq .Role \"user\" }}<start_of_turn>user\n"
        "{{ if $system }}{{ $system }}\n\n{{ $system = \"\" }}{{ end }}{{ .Content }}<end_of_turn>\n"
        "{{ else }}<start_of_turn>model\n{{ .Content }}<end_of_turn>\n{{ end }}{{ end }}"
        "<start_of_turn>model\n"
    ),
    "gemma3-tools": """
{{- range $i, $m := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if or (eq .Role "user") (eq .Role "system") }}<start_of_turn>user
{{ .Content }}{{ if and $.Tools $last }}
```json
{{ $.Tools }}
```{{ end }}<end_of_turn>
{{ if $last }}<start_of_turn>model
{{ end }}
{{- else if eq .Role "assistant" }}<start_of_turn>model
{{ .Content }}{{ if .ToolCalls }}
```tool_call
{{ range .ToolCalls }}{{ .Function.Name }}{{ .Function.Arguments }}
{{ end }}```{{ end }}{{ if not $last }}<end_of_turn>
{{ end }}
{{- end }}
{{- end }}""",
    # --- Cohere
    "command-r": """
{{- if or .Tools .System }}<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>
{{- if .Tools }}# Tools
{{ range .Tools }}```python
def {{ .Function.Name }}(
{{- range $name, $property := .Function.Parameters.Properties }}{{ $name }}: {{ $property.Type }}, {{ end }}) -> List[Dict]:
    '''{{ .Function.Description }}
{{- if .Function.Parameters.Properties }}

    Args:
{{- range $name, $property := .Function.Parameters.Properties }}
        {{ $name }} ({{ $property.Type }}): {{ $property.Description }}
{{- end }}
{{- end }}
    '''
    pass
```
{{ end }}
{{- else if .System }}{{ .System }}
{{- end }}<|END_OF_TURN_TOKEN|>
{{- end }}
{{- range .Messages }}
{{- if eq .Role "system" }}{{ continue }}
{{- end }}<|START_OF_TURN_TOKEN|>
{{- if eq .Role "user" }}<|USER_TOKEN|>{{ .Content }}
{{- else if eq .Role "assistant" }}<|CHATBOT_TOKEN|>
{{- if .Content }}{{ .Content }}
{{- else if .ToolCalls }}
Action: ```json
[
{{- range .ToolCalls }}
    {
        "tool_name": {{ .Function.Name }},
        "parameters": {{ .Function.Arguments }}
    }
{{- end }}
]```
{{ end }}
{{- else if eq .Role "tool" }}<|SYSTEM_TOKEN|><results>
{{ .Content }}</results>
{{- end }}<|END_OF_TURN_TOKEN|>
{{- end }}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>""",
    "aya": (
        "{{ if .System }}<|SYSTEM_TOKEN|>{{ .System }}<|END|>{{ end }}{{ if .Prompt }}<|USER_TOKEN|>"
        "{{ .Prompt }}<|END|>{{ end }}<|CHATBOT_TOKEN|>{{ .Response }}"
    ),
    # --- DeepSeek
    "deepseek-r1": """{{- if .System }}{{ .System }}{{ end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}<\uff5cUser\uff5c>{{ .Content }}
{{- else if eq .Role "assistant" }}<\uff5cAssistant\uff5c>
  {{- if and $.IsThinkSet (and $last .Thinking) -}}
<think>
{{ .Thinking }}
</think>
{{- end }}{{ .Content }}{{- if not $last }}<\uff5cend\u2581of\u2581sentence\uff5c>{{- end }}
{{- end }}
{{- if and $last (ne .Role "assistant") }}<\uff5cAssistant\uff5c>
{{- if and $.IsThinkSet (not $.Think) -}}
<think>

</think>

{{ end }}
{{- end -}}
{{- end }}""",
    "deepseek-coder": (
        "{{ .System }}\n### Instruction:\n{{ .Prompt }}\n### Response:\n{{ .Response }}"
    ),
    # --- Phi
    "phi3": (
        "{{ range .Messages }}<|{{ .Role }}|>\n{{ .Content }}<|end|>\n{{ end }}<|assistant|>\n"
    ),
    "phi4": (
        "{{- range $i, $_ := .Messages }}" + _LAST + "<|im_start|>{{ .Role }}<|im_sep|>\n"
        "{{ .Content }}{{ if not $last }}<|im_end|>\n{{ end }}{{ if and (ne .Role \"assistant\") "
        "$last }}<|im_end|>\n<|im_start|>assistant<|im_sep|>\n{{ end }}{{ end }}"
    ),
    "phi4-mini": (
        "{{- if or .System .Tools }}<|system|>{{ .System }}{{ if .Tools }}<|tool|>{{ .Tools }}"
        "<|/tool|>{{ end }}<|end|>{{ end }}{{ range .Messages }}{{ if ne .Role \"system\" }}"
        "<|{{ .Role }}|>{{ .Content }}{{ if .ToolCalls }}<|tool_call|>[{{ range .ToolCalls }}"
        "{\"name\":\"{{ .Function.Name }}\",\"arguments\":{{ .Function.Arguments }}{{ \"}\" }}{{ end }}]"
        "<|/tool_call|>{{ end }}<|end|>{{ end }}{{ end }}<|assistant|>"
    ),
    # --- others
    "granite3": """
{{- if .Tools }}<|start_of_role|>available_tools<|end_of_role|>
{{- range .Tools }}
{{ . }}
{{ end }}<|end_of_text|>
{{ end }}
{{- range $index, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $index)) 1 }}
{{- if eq .Role "tool" }}<|start_of_role|>tool_response<|end_of_role|>{{ .Content }}<|end_of_text|>
{{- else }}<|start_of_role|>{{ .Role }}<|end_of_role|>
{{- if .ToolCalls }}<|tool_call|>{{ json .ToolCalls }}{{ else }}{{ .Content }}{{ end -}}
{{ if not $last }}<|end_of_text|>
{{ end }}{{ end }}
{{- if and $last (not (eq .Role "assistant")) }}<|start_of_role|>assistant<|end_of_role|>{{ end }}
{{- end }}""",
    "nemotron": (
        "<extra_id_0>System\n{{ .System }}{{ range .Tools }}<tool>{{ json .Function }}</tool>"
        "{{ end }}\n\n{{ range .Messages }}{{ if eq .Role \"user\" }}<extra_id_1>User\n{{ .Content }}"
        "\n{{ else if eq .Role \"assistant\" }}<extra_id_1>Assistant\n{{ if .ToolCalls }}"
        "{{ range .ToolCalls }}<toolcall>{{ .Function }}</toolcall>{{ end }}{{ else }}{{ .Content }}"
        "{{ end }}\n{{ else if eq .Role \"tool\" }}<extra_id_1>Tool\n{{ .Content }}\n{{ end }}"
        "{{ end }}<extra_id_1>Assistant\n"
    ),
    "exaone": (
        "{{- range $i, $_ := .Messages }}[|{{ .Role }}|]{{ .Content }}{{ if ne .Role \"user\" }}"
        "[|endofturn|]{{ end }}\n{{ end }}[|assistant|]"
    ),
    "falcon3": (
        "{{ if .System }}<|system|>\n{{ .System }}\n{{ end }}{{ range .Messages }}"
        "{{ if not (eq .Role \"system\") }}<|{{ .Role }}|>\n{{ .Content }}\n{{ end }}{{ end }}"
        "<|assistant|>\n"
    ),
    "olmo2": (
        "<|endoftext|>{{ range $i, $m := .Messages }}<|{{ $m.Role }}|>\n{{ $m.Content }}"
        "{{ if eq $m.Role \"assistant\" }}<|endoftext|>{{ end }}\n{{ end }}<|assistant|>\n"
    ),
    "glm4": (
        "[gMASK]<sop>{{ range .Messages }}<|{{ if eq .Role \"tool\" }}observation{{ else }}{{ .Role }}"
        "{{ end }}|>\n{{ .Content }}{{ end }}<|assistant|>"
    ),
    "yi": "{{ with .System }}<sys>{{ . }}</sys>{{ end }}Human: {{ .Prompt }}\n\nAssistant:{{ .Response }}",
    "orca": "{{ if .System }}### System:\n{{ .System }}\n\n{{ end }}### User:\n{{ .Prompt }}\n\n### Response:\n",
    "wizardlm": "{{ .System }}{{ if .System }} {{ end }}USER: {{ .Prompt }} ASSISTANT:{{ .Response }}",
    "stablelm": "{{ if .System }}<|system|>{{ .System | html }}{{ end }}<|user|>{{ .Prompt | js }}<|assistant|>",
    "gpt-oss": """<|start|>system<|message|>Reasoning: {{ if .ThinkLevel }}{{ .ThinkLevel }}{{ else }}medium{{ end }}
{{- $final := -1 }}{{ range $i, $m := .Messages }}{{ if eq $m.Role "user" }}{{ $final = $i }}{{ end }}{{ end }}
{{- if .Tools }}

namespace functions {
{{ range .Tools }}
{{- if .Function.Description }}// {{ .Function.Description }}
{{ end }}
{{- if and .Function.Parameters.Properties (gt (len .Function.Parameters.Properties) 0) -}}
type {{ .Function.Name }} = (_: {
{{- range $name, $prop := .Function.Parameters.Properties }}
{{- if $prop.Description }}
// {{ $prop.Description }}
{{- end }}
{{ $name }}: {{ if gt (len $prop.Type) 1 }}{{ range $i, $t := $prop.Type }}{{ if $i }} | {{ end }}{{ $t }}{{ end }}{{ else }}{{ toTypeScriptType $prop }}{{ end }},
{{- end }}
}) => any;
{{ else -}}
type {{ .Function.Name }} = () => any;
{{ end }}
{{- end }}} // namespace functions
{{- end }}<|end|>
{{- range $i, $m := .Messages }}
{{- if eq .Role "user" }}<|start|>user<|message|>{{ .Content }}<|end|>
{{- else if eq .Role "assistant" }}
{{- if and .Thinking (gt $i $final) }}<|start|>assistant<|channel|>analysis<|message|>{{ .Thinking }}<|end|>{{ end }}
{{- range .ToolCalls }}<|start|>assistant<|channel|>commentary to=functions.{{ .Function.Name }} <|constrain|>json<|message|>{{ .Function.Arguments }}<|call|>{{ end }}
{{- if .Content }}<|start|>assistant<|channel|>final<|message|>{{ .Content }}<|end|>{{ end }}
{{- else if eq .Role "tool" }}<|start|>functions.{{ .ToolName }} to=assistant<|message|>{{ .Content }}<|end|>
{{- end }}
{{- end }}<|start|>assistant""",
    # --- code with a hole in it
    "codellama": "{{ if .Suffix }}<PRE> {{ .Prompt }} <SUF>{{ .Suffix }} <MID>{{ else }}[INST] {{ .Prompt }} [/INST]{{ end }}",
    "qwen-coder-fim": (
        "{{- if .Suffix }}<|fim_prefix|>{{ .Prompt }}<|fim_suffix|>{{ .Suffix }}<|fim_middle|>"
        "{{- else if .Messages }}{{ range .Messages }}{{ .Content }}\n{{ end }}{{ else }}{{ .Prompt }}"
        "{{ end }}"
    ),
    "starcoder-fim": "<fim_prefix>{{ .Prompt }}<fim_suffix>{{ .Suffix }}<fim_middle>{{ .Response }}",
    # --- mistakes that people make
    "unknown-field": "{{ range .Messages }}{{ .Text }}{{ end }}",
    "call-fields": "{{ range .Messages }}{{ range .ToolCalls }}{{ .Name }}{{ end }}{{ end }}",
    "missing-key": "{{ range .Messages }}{{ end }}[{{ .Prompt }}][{{ .Nope }}][{{ if .Nope }}x{{ end }}]",
    "out-of-range": "{{ (index .Messages 0).Role }}{{ (index .Messages 9).Role }}",
}  # fmt: skip
TEMPLATES |= {f"detected {family.name}": family.template for family in FAMILIES}

_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'Weather <of> a city & "more"',
        "parameters": {
            "type": "object",
            "required": ["city"],
            "properties": {
                "city": {"type": "string", "description": "Where"},
                "days": {"type": ["integer", "null"], "description": "How many", "enum": [1, 3]},
                "at": {"anyOf": [{"type": "string"}, {"type": "number"}]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "box": {
                    "type": "object",
                    "properties": {"n": {"type": "boolean"}},
                    "required": ["n"],
                },
            },
        },
    },
}
_PING = {
    "type": "function",
    "function": {"name": "ping", "parameters": {"type": "object", "properties": {}}},
}
_CALL = {
    "id": "call_1",
    "function": {
        "index": 0,
        "name": "get_weather",
        "arguments": {"days": 3, "city": "Zürich <b>", "box": {"n": True}, "at": None, "tags": []},
    },
}
_OTHER = {"id": "call_2", "function": {"index": 1, "name": "ping", "arguments": {}}}
_TALK: list[dict[str, Any]] = [
    {"role": "system", "content": 'Be "brief" & kind.'},
    {"role": "user", "content": "Hello <there>\n\n"},
    {"role": "assistant", "content": "Hi.", "thinking": "A greeting."},
    {"role": "user", "content": "And now? \u2028 é"},
]
_CALLED: list[dict[str, Any]] = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": "", "thinking": "Call.", "tool_calls": [_CALL, _OTHER]},
    {"role": "tool", "content": "{\"rain\": 1}", "tool_name": "get_weather", "tool_call_id": "call_1"},
    {"role": "tool", "content": "pong", "tool_name": "ping", "tool_call_id": "call_2"},
]  # fmt: skip

DIALOGUES: dict[str, dict[str, Any]] = {
    "one question": {"messages": _TALK[1:2]},
    "talk": {"messages": _TALK},
    "thinking": {"messages": _TALK, "think": True},
    "not thinking": {"messages": _TALK, "think": False},
    "effort": {"messages": _TALK, "think": "high"},
    "begun": {"messages": _TALK[:3]},
    "tools": {"messages": _TALK, "tools": [_WEATHER, _PING]},
    "results": {"messages": _CALLED, "tools": [_WEATHER, _PING], "think": True},
    "after results": {
        "messages": [*_TALK[:1], *_CALLED, {"role": "assistant", "content": "Rain."}, *_TALK[1:2]],
        "tools": [_WEATHER],
    },
    "pictures": {"messages": [{"role": "user", "content": "What?", "images": ["YQ==", "Yg=="]}]},
    "nothing": {"messages": []},
    "a hole": {"prompt": "def f(", "suffix": "  return <x>"},
}
OLD_DIALOGUES: dict[str, dict[str, Any]] = {
    "prompt": {"messages": [{"role": "user", "content": "Why <so>?"}]},
    "system and prompt": {"messages": _TALK[:2]},
    "thinking": {"messages": _TALK[:2], "think": True},
    "a hole": {"prompt": "def f(", "suffix": "  return <x>"},
}


def cases() -> list[tuple[str, str, dict[str, Any]]]:
    """Family, name of a dialogue, and the dialogue."""
    found = []
    for family, template in TEMPLATES.items():
        dialogues = DIALOGUES if ".Messages" in template else OLD_DIALOGUES
        found += [
            (family, name, dialogue)
            for name, dialogue in dialogues.items()
            if "suffix" not in dialogue or ".Suffix" in template
        ]
    return found


def _data(dialogue: dict[str, Any]) -> dict[str, Any]:
    """The dialogue with what is derived from its messages."""
    messages = dialogue.get("messages", [])
    texts = {
        role: [m["content"] for m in messages if m["role"] == role] for role in ("system", "user")
    }
    derived = {"system": "\n\n".join(texts["system"]), "prompt": "".join(texts["user"][-1:])}
    return {**derived, **dialogue}


if __name__ == "__main__":
    for family, name, dialogue in cases():
        print(
            json.dumps(
                {
                    "family": family,
                    "template": TEMPLATES[family],
                    "dialogue": name,
                    "data": _data(dialogue),
                }
            )
        )
