"""The interpreter against answers that Go's own package gave (see ``gocorpus/``)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pyollama.chat.functions import FUNCTIONS
from pyollama.chat.gotemplate import Template
from pyollama.errors import TemplateError

_FOLDER = Path(__file__).parent / "gocorpus"
# Go names the static type of what it found in a map or a list, an interface. Here it is the type
# of the value itself. And Go refuses such a value as the bound of a slice, whatever its type.
_TYPE = re.compile(r"(in type|of type|with type) .*", re.DOTALL)
_REFUSED_BOUND = "error calling slice: cannot index slice/array with type interface {}"


def _answer(template: str, data: object) -> tuple[str | None, str | None]:
    try:
        return Template.parse(template, FUNCTIONS).execute(data), None
    except TemplateError as error:
        return None, _TYPE.sub(r"\1 T", error.message)


def test_answers_of_go() -> None:
    lines = (_FOLDER / "corpus.jsonl").read_text().splitlines()
    data = json.loads(lines[0])
    checked = 0
    for line in lines[1:]:
        case = json.loads(line)
        error = case.get("error")
        if error is not None and error.endswith(_REFUSED_BOUND):
            continue
        expected = case.get("output"), error and _TYPE.sub(r"\1 T", error)
        assert _answer(case["template"], data) == expected, case["template"]
        checked += 1
    assert checked > 2500


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{{ .a.b }}",
            'template: :1:5: executing "" at <.a.b>: nil pointer evaluating interface {}.b',
        ),
        ("{{ if }}x{{ end }}", "template: :1: missing value for if"),
        ("\n\n{{ nope }}", 'template: :3: function "nope" not defined'),
    ],
)
def test_errors_in_the_words_of_go(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template.parse(template).execute({"a": None})
    assert caught.value.message == message
