"""Asks a running server the prompts of ``prompts.txt`` and counts sensible answers.

usage: python -m training.check [--url URL] [--model NAME] [--temperature T] [--repeat N]

``URL`` is where a server takes chats: ``/api/chat`` of pyollama or Ollama, or llama-server's
``/v1/chat/completions``.
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROMPTS = Path(__file__).with_name("prompts.txt")

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """What is said, turn by turn, and what the last answer must contain."""

    system: str
    turns: tuple[str, ...]
    accepted: str

    def accepts(self, answer: str) -> bool:
        text = answer.lower()
        return bool(text.strip()) and all(
            any(word.strip() in text for word in part.split("|"))
            for part in self.accepted.split(",")
        )


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    model: str
    temperature: float

    def answer(self, messages: list[Message], seed: int) -> str:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "stream": False,
            # Ollama's place for them, and llama-server's.
            "options": {"temperature": self.temperature, "seed": seed, "num_predict": 400},
            "temperature": self.temperature,
            "seed": seed,
            "max_tokens": 400,
        }
        request = urllib.request.Request(
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as response:
            reply = json.load(response)
        message = reply["message"] if "message" in reply else reply["choices"][0]["message"]
        return str(message["content"])


def parse(source: str) -> list[Case]:
    cases: list[Case] = []
    turns: list[str] = []
    system = ""
    for line in source.splitlines():
        mark, text = line[:2], line[2:].strip()
        if not line.strip():
            system = ""
        elif mark == "+ ":
            system = text
        elif mark == "> ":
            turns.append(text)
        elif mark == "= ":
            cases.append(Case(system, tuple(turns), "" if text == "?" else text))
            turns = []
    return cases


def ask(case: Case, server: Server, seed: int) -> str:
    """The last answer; the turns before it are asked for real."""
    messages = [{"role": "system", "content": case.system}] if case.system else []
    answer = ""
    for turn in case.turns:
        messages.append({"role": "user", "content": turn})
        answer = server.answer(messages, seed)
        messages.append({"role": "assistant", "content": answer})
    return answer


def main() -> None:
    options = argparse.ArgumentParser(description="Count sensible answers.")
    options.add_argument("--url", default="http://127.0.0.1:11434/api/chat")
    options.add_argument("--model", default="builtin")
    options.add_argument("--temperature", type=float, default=0.0)
    options.add_argument("--repeat", type=int, default=1, help="ask with this many seeds")
    chosen = options.parse_args()
    server = Server(chosen.url, chosen.model, chosen.temperature)
    cases = parse(PROMPTS.read_text("utf-8"))
    right = 0
    for seed in range(chosen.repeat):
        for case in cases:
            answer = ask(case, server, seed + 1)
            if case.accepts(answer):
                right += 1
            else:
                print(f"{case.turns[-1]!r} -> {answer!r}, not {case.accepted!r}")
    count = len(cases) * chosen.repeat
    print(f"{right} of {count} sensible ({right / count:.1%}) at {chosen.temperature}")


if __name__ == "__main__":
    main()
