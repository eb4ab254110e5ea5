"""Makes the cases that Go answers: written ones, and combinations of small parts.

To renew the corpus, run in this folder: ``python cases.py | go run main.go > corpus.jsonl``.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

DATA: dict[str, object] = {
    "S": "text",
    "E": "",
    "U": "é日😀",
    "H": "<a href='x'>&\"\\\n",
    "I": 7,
    "N": -3,
    "Z": 0,
    "F": 2.5,
    "G": 1234567.0,
    "B": True,
    "O": False,
    "L": ["a", "b", "c"],
    "V": [1, 2.5, "x", None, True, [1, "y"], {"k": "v"}],
    "Q": [],
    "M": {"b": 2, "a": 1, "c": None},
    "D": {"x": {"y": {"z": "deep"}}, "l": [{"n": 1}, {"n": 2}]},
    "K": None,
    "P": [{"Role": "user", "Content": "hi"}, {"Role": "assistant", "Content": "<b>"}],
}

# Templates, one beside the other with bars between them: each line is taken as a whole, too.
WRITTEN = Path(__file__).with_name("templates.txt")
OVER_LINES = (
    "{{ if and .S\n (eq .I 7) }}multi\nline{{ end\n}}",
    "{{ .S\n | len }}",
    "{{",
    "line\nline {{ .K.x }}",
    "\u00e9\n  \u00e9{{ .K.x }}",
    "{{ if .B }}\n{{ .S ",
    "{{ .S\n\n",
    "{{ range .L }}\n\n",
    "\n\n{{ nope }}",
)

VERBS = "vdsqtTxXobcUeEfgGpOz"
FLAG_SETS = ("", "+", "-8", "08", "8", "#", " ", ".2", "8.3", "+08.1", "-08", "# ", "+q"[:1] + "#")
VALUES = (
    *("1", "-42", "0", "255", "1.5", "-0.25", "1e21", "123456789.0", "0.000001234", "100000.0"),
    *('"hi"', '""', '"é\\n<"', "true", "nil", ".L", ".M", ".V", ".K", ".Q", "'x'", "1i"),
)
ODD_FORMATS = (
    *("%", "%%", "%5%", "% ", "%!", "%z", "%5", "%-", "%d %d", "%[2]d %[1]d", "%[3]d", "%[0]d"),
    *("%[x]d", "%[1]", "%[1", "%[1]d %d", "%[2]*[1]d", "%*d", "%-*d", "%.*f", "%.d", "%.0d"),
    *("%5.d", "%99999999d", "%é", "%v%v%v", "a%", "%s%", "%[1]*d", "%[2]5d", "%.[1]d", "%w"),
)
PIECES = (
    *(".S", ".I", ".F", ".L", ".M", ".K", ".Nope", ".B", "$", "$.U", '"q"', "3", "1.5", "nil"),
    *("(len .L)", "(index .L 1)", "(slice .S 1)", "(eq .I 7)", "(not .B)", "(print .S .I)"),
    *("(printf `%q` .S)", ".D.x", ".D.x.y.z", "(.D).x.y", "$x", "true", "(and .S .I)"),
)
CALLS = (
    *("len", "not", "print", "println", "json", "html", "js", "urlquery"),
    *("and", "or", "eq", "ne", "lt", "le", "gt", "ge", "index", "slice", 'printf "%v|%s"'),
)


def _written() -> Iterator[str]:
    for line in WRITTEN.read_text().splitlines():
        yield line
        yield from line.split("|")
    yield from OVER_LINES


def _printed(count: int) -> Iterator[str]:
    every = list(itertools.product(FLAG_SETS, VERBS, VALUES))
    for flags, verb, value in random.Random(23).sample(every, min(count, len(every))):
        if verb != "p" or value[0] != ".":  # else it is an address
            yield f'{{{{printf "[%{flags}{verb}]" {value}}}}}'
    for template in ODD_FORMATS:
        for values in ("", "1", "1 2", "2 1.5", '"a" 1 2', "5 1"):
            yield f'{{{{printf "{template}" {values}}}}}'


class Maker:
    """Random templates from the parts of the language."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def block(self, depth: int) -> str:
        count = self._random.randint(1, 3)
        return "".join(self.statement(depth) for _ in range(count))

    def statement(self, depth: int) -> str:
        kind = self._random.choice(
            ("text", "action", "action", "set") if depth <= 0 else ("if", "range", "with", "action")
        )
        match kind:
            case "text":
                return self._random.choice(("a", " ", "\n b ", "<x>", "{ "))
            case "set":
                return self.tag(f"$x = {self.pipe(1)}")
            case "action":
                return self.tag(self.pipe(2))
            case "if":
                otherwise = self._random.choice(("", "{{else}}", "{{ else if .Z }}"))
                rest = otherwise + (self.block(depth - 1) if otherwise else "")
                return self.tag(f"if {self.pipe(1)}") + self.block(depth - 1) + rest + "{{end}}"
            case "range":
                head = self._random.choice(("", "$i, $e := ", "$e := "))
                leave = self._random.choice(("", "", "{{break}}", "{{continue}}"))
                body = self.block(depth - 1) + leave
                source = self._random.choice((".L", ".M", ".V", ".Q", "2", ".P", self.pipe(1)))
                return self.tag(f"range {head}{source}") + body + self.tag("end")
        return self.tag(f"with {self.pipe(1)}") + self.block(depth - 1) + "{{end}}"

    def tag(self, inside: str) -> str:
        left = self._random.choice(("{{", "{{ ", "{{- "))
        return left + inside + self._random.choice(("}}", " }}", " -}}"))

    def pipe(self, depth: int) -> str:
        if depth <= 0 or self._random.random() < 0.4:
            return self._random.choice(PIECES)
        parts = [self._random.choice(CALLS)]
        for _ in range(self._random.randint(0, 3)):
            inner = self._random.random() < 0.3
            parts.append(f"({self.pipe(depth - 1)})" if inner else self._random.choice(PIECES))
        call = " ".join(parts)
        if self._random.random() < 0.2:
            call = f"{self.pipe(0)} | {call}"
        return call


def _random_templates(count: int) -> Iterator[str]:
    maker = Maker(20)
    for _ in range(count):
        yield "{{$x := .S}}" + maker.block(2)


def _broken_templates(count: int) -> Iterator[str]:
    maker, source = Maker(21), random.Random(22)
    for _ in range(count):
        template = "{{$x := .S}}" + maker.block(2)
        at = source.randrange(len(template))
        yield (
            template[:at]
            + source.choice(("", "}", "{{", '"', " ", "(", ".", "|", "$"))
            + (template[at + source.randint(0, 2) :])
        )


def templates(size: int = 1) -> list[str]:
    """Every template once; ``size`` multiplies the random ones."""
    made = itertools.chain(
        _written(),
        _printed(1500 * size),
        _random_templates(700 * size),
        _broken_templates(500 * size),
    )
    return list(dict.fromkeys(made))


if __name__ == "__main__":
    scale = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    for line in (DATA, *templates(scale)):
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
