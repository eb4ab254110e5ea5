r"""Families of simple chat templates: how to know them, and a Go template for each.

The Go templates write what the families' own templates write. They are stored beside the weights
when a model is created, so that ``show`` and other programs see how the model is addressed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """``marks`` are texts that all occur in a Jinja template of the family."""

    name: str
    marks: tuple[str, ...]
    template: str
    stops: tuple[str, ...]


def _same_for_all(before: str, after: str, opening: str) -> str:
    """Every role is written the same way."""
    turn = f"{before}{{{{ .Content }}}}{after}"
    return f"{{{{- range .Messages }}}}{turn}{{{{ end }}}}{opening}"


def _by_role(turns: Mapping[str, tuple[str, str]], opening: str) -> str:
    """A text before and after the content of each role."""
    system, user, assistant = (
        f"{turns[role][0]}{{{{ .Content }}}}{turns[role][1]}"
        for role in ("system", "user", "assistant")
    )
    return (
        f'{{{{- range .Messages }}}}{{{{ if eq .Role "system" }}}}{system}'
        f'{{{{ else if eq .Role "user" }}}}{user}{{{{ else }}}}{assistant}'
        f"{{{{ end }}}}{{{{ end }}}}{opening}"
    )


def _system_in_user(
    user: tuple[str, str], system: tuple[str, str], assistant: tuple[str, str], opening: str = ""
) -> str:
    """The system text becomes part of the next user turn."""
    return (
        '{{- $system := "" }}{{ range .Messages }}'
        '{{ if eq .Role "system" }}{{ $system = .Content }}'
        f'{{{{ else if eq .Role "user" }}}}{user[0]}'
        f"{{{{ if $system }}}}{system[0]}{{{{ $system }}}}{system[1]}"
        f'{{{{ $system = "" }}}}{{{{ end }}}}{{{{ .Content }}}}{user[1]}'
        f"{{{{ else }}}}{assistant[0]}{{{{ .Content }}}}{assistant[1]}"
        f"{{{{ end }}}}{{{{ end }}}}{opening}"
    )


def _lines(system: str, user: str, assistant: str) -> str:
    """Every turn begins with a name and a colon."""
    names = {"system": system, "user": user, "assistant": assistant}
    turns = {role: (f"{name} ", "\n\n") for role, name in names.items()}
    return _by_role(turns, assistant)


def _headings(system: str, user: str, assistant: str, end: str = "\n\n") -> str:
    """Every turn has a heading on a line of its own."""
    turns = {
        "system": (f"{system}\n" if system else "", "\n\n"),
        "user": (f"{user}\n", "\n\n"),
        "assistant": (f"{assistant}\n", end),
    }
    return _by_role(turns, f"{assistant}\n")


_COMMAND_R = {
    role: (f"<|START_OF_TURN_TOKEN|><|{name}_TOKEN|>", "<|END_OF_TURN_TOKEN|>")
    for role, name in (("system", "SYSTEM"), ("user", "USER"), ("assistant", "CHATBOT"))
}
_GEMMA = _system_in_user(
    ("<start_of_turn>user\n", "<end_of_turn>\n"),
    ("", "\n\n"),
    ("<start_of_turn>model\n", "<end_of_turn>\n"),
    "<start_of_turn>model\n",
)
_ROLE_TAGS = ("<|system|>", "<|user|>", "<|assistant|>")

# The first one that fits counts, so the more special ones stand first.
FAMILIES = (
    Family(
        "chatml",
        ("<|im_start|>", "<|im_end|>"),
        _same_for_all("<|im_start|>{{ .Role }}\n", "<|im_end|>\n", "<|im_start|>assistant\n"),
        ("<|im_start|>", "<|im_end|>"),
    ),
    Family(
        "llama3-instruct",
        ("<|start_header_id|>", "<|eot_id|>"),
        _same_for_all(
            "<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n",
            "<|eot_id|>",
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    Family(
        "gemma3-instruct",
        ("<start_of_turn>", "<end_of_turn>", "first_user_prefix"),
        _GEMMA,
        ("<end_of_turn>",),
    ),
    Family(
        "gemma-instruct",
        ("<start_of_turn>", "<end_of_turn>"),
        _GEMMA,
        ("<start_of_turn>", "<end_of_turn>"),
    ),
    Family(
        "llama2-chat",
        ("[INST]", "[/INST]", "<<SYS>>"),
        _system_in_user(
            ("[INST] ", " [/INST]"), ("<<SYS>>\n", "\n<</SYS>>\n\n"), (" ", " </s><s>")
        ),
        ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    ),
    Family(
        "mistral-instruct",
        ("[INST]", "[/INST]"),
        _system_in_user(("[INST] ", " [/INST]"), ("", "\n\n"), (" ", "</s>")),
        ("<|im_start|>", "<|im_end|>"),
    ),
    Family(
        "command-r",
        ("<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>"),
        _by_role(_COMMAND_R, "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"),
        ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    ),
    Family(
        "phi-3",
        ("<|end|>", "<|assistant|>"),
        _same_for_all("<|{{ .Role }}|>\n", "<|end|>\n", "<|assistant|>\n"),
        ("<|end|>", *_ROLE_TAGS),
    ),
    Family(
        "zephyr",
        ("<|user|>", "<|assistant|>", "eos_token"),
        _same_for_all("<|{{ .Role }}|>\n", "</s>\n", "<|assistant|>\n"),
        (*_ROLE_TAGS, "</s>"),
    ),
    Family(
        "openchat",
        ("GPT4 Correct", "<|end_of_turn|>"),
        _by_role(
            {
                "system": ("", "<|end_of_turn|>"),
                "user": ("GPT4 Correct User: ", "<|end_of_turn|>"),
                "assistant": ("GPT4 Correct Assistant: ", "<|end_of_turn|>"),
            },
            "GPT4 Correct Assistant:",
        ),
        ("<|end_of_turn|>",),
    ),
    Family(
        "alfred",
        ("<start_", "<end_message>"),
        _same_for_all("<start_{{ .Role }}>", "<end_message>", "<start_assistant>"),
        ("<start_system>", "<end_message>", "<start_user>", "<start_assistant>"),
    ),
    Family(
        "codellama-70b-instruct",
        ("Source: ", "<step>"),
        _same_for_all(
            "Source: {{ .Role }}\n\n ", " <step> ", "Source: assistant\nDestination: user\n\n "
        ),
        ("Source:", "Destination:", "<step>"),
    ),
    Family(
        "magicoder",
        ("@@ Instruction", "@@ Response"),
        _headings("", "@@ Instruction", "@@ Response"),
        ("@@ Instruction", "@@ Response"),
    ),
    Family(
        "solar-instruct",
        ("### User:", "### Assistant:"),
        _headings("### System:", "### User:", "### Assistant:"),
        ("### System:", "### User:", "### Assistant:"),
    ),
    Family(
        "alpaca",
        ("### Instruction:", "### Response:"),
        _headings("", "### Instruction:", "### Response:"),
        ("### Instruction:", "### Response"),
    ),
    Family(
        "starcoder2-instruct",
        ("### Instruction", "### Response"),
        _headings("", "### Instruction", "### Response", "<|endoftext|>\n\n"),
        ("### Instruction", "### Response", "<|endoftext|>"),
    ),
    Family(
        "falcon-instruct",
        ("Falcon:", "User:"),
        _lines("System:", "User:", "Falcon:"),
        ("User:", "Assistant:"),
    ),
    Family(
        "granite-instruct",
        ("Question:", "Answer:"),
        _lines("System:", "Question:", "Answer:"),
        ("System:", "Question:", "Answer:"),
    ),
    Family(
        "vicuna",
        ("USER:", "ASSISTANT:"),
        _by_role(
            {"system": ("", " "), "user": ("USER: ", " "), "assistant": ("ASSISTANT: ", "</s>")},
            "ASSISTANT:",
        ),
        ("USER:", "ASSISTANT:"),
    ),
    Family(
        "chatqa",
        ("User: ", "Assistant:"),
        _lines("System:", "User:", "Assistant:"),
        ("System:", "User:", "Assistant:", "<|begin_of_text|>"),
    ),
)
