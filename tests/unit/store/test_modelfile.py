from __future__ import annotations

import codecs
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pyollama.errors import InvalidRequest
from pyollama.store.modelfile import (
    INSTRUCTIONS,
    ROLES,
    Instruction,
    format_modelfile,
    parse_modelfile,
    quote,
)
from pyollama.store.parameters import format_parameters, parameter_lines, read_parameters

COMMANDS = (
    '"from", "license", "template", "system", "adapter", "draft", "renderer", "parser", '
    '"parameter", "message", or "requires"'
)


def value(text: str) -> str:
    return parse_modelfile(f"FROM x\nSYSTEM {text}").last("system")


def test_instructions_in_order() -> None:
    modelfile = parse_modelfile(
        "# comment\n\nfrom ./a.gguf\n  \tFROM ./mmproj.gguf # not a comment\r\n"
        "parameter stop  one\nPARAMETER stop two\nPARAMETER temperature 0.5\n"
        "TEMPLATE first\nTEMPLATE second\nMESSAGE user hi there\nMESSAGE assistant hello\n"
        "LICENSE a\nLICENSE b\nREQUIRES v0.14.0\nPARAMETER mirostat 1"
    )
    assert modelfile.sources == ("./a.gguf", "./mmproj.gguf # not a comment")
    assert modelfile.parameters == {"stop": ["one", "two"], "temperature": 0.5}
    assert modelfile.deprecated_parameters == ("mirostat",)
    assert modelfile.last("template") == "second"
    assert modelfile.messages == (("user", "hi there"), ("assistant", "hello"))
    assert modelfile.all("license") == ("a", "b")
    assert modelfile.requires == "0.14.0"
    assert modelfile.last("parser") == ""
    assert modelfile.instructions[1].line == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  plain   text  ", "plain   text"),
        ("'single'", "'single'"),
        ('" kept "', " kept "),
        ('""', ""),
        ('"two\nlines"', "two\nlines"),
        ('"He said ""hi"" #x"', 'He said ""hi"" #x'),
        ('"a" b\nc"', 'a" b\nc'),
        ('"""\nfirst\n"""', "\nfirst\n"),
        ('"""one"""', "one"),
        ('"""a""" b\n"""', 'a""" b\n'),
        ('"""say "hi""""', 'say "hi"'),
        ('""""\n"""', '"\n'),
        ('"""crlf\r\nkept"""\r\n', "crlf\r\nkept"),
        ('inner "quotes" stay', 'inner "quotes" stay'),
        (
            "non\u00a0breaking \U0001f469\u200d\U0001f4bb",
            "non\u00a0breaking \U0001f469\u200d\U0001f4bb",
        ),
    ],
)
def test_values(text: str, expected: str) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no FROM line"),
        ("SYSTEM x", "no FROM line"),
        ("FROM ", "no FROM line"),
        ("FROM x\nFOO bar", f"(line 2): command must be one of {COMMANDS}"),
        ("FROM", f"(line 1): command must be one of {COMMANDS}"),
        ("FROM\nx", f"(line 1): command must be one of {COMMANDS}"),
        (
            "FROM x\n\nMESSAGE wizard x",
            '(line 3): message role must be one of "system", "user", or "assistant"',
        ),
        ('FROM x\nSYSTEM """open\n', "unexpected EOF"),
        ('FROM x\nSYSTEM "', "unexpected EOF"),
        ("FROM x\nPARAMETER top-k 1", "unexpected EOF: top"),
        ("FROM x\nPARAMETER top_k", "unexpected EOF: top_k"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_modelfile(text)
    assert str(caught.value) == message


def test_open_quotes_are_found_again() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_modelfile('FROM x\nSYSTEM "a\nb\n')
    assert "line 2" in caught.value.hint


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("nonsense", "1"), "unknown parameter 'nonsense'"),
        (("temperature", "hot"), "invalid float value [hot]"),
        (("num_ctx", "1.5"), "invalid int value [1.5]"),
        (("num_ctx", str(1 << 63)), f"invalid int value [{1 << 63}]"),
        (("use_mmap", "yes"), "invalid bool value [yes]"),
    ],
)
def test_bad_parameters(pair: tuple[str, str], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_parameters([pair])
    assert str(caught.value) == message


def test_bad_parameters_are_found_again() -> None:
    with pytest.raises(InvalidRequest, match=r"invalid int value \[x\]") as caught:
        _ = parse_modelfile("FROM x\nPARAMETER seed 1\n\nPARAMETER top_k x").parameters
    assert caught.value.hint == "line 4 sets top_k"


def test_bad_version_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="requires must be a valid semver"):
        _ = parse_modelfile("FROM x\nREQUIRES soon").requires


def test_parameters_get_their_types() -> None:
    pairs = [("num_ctx", "1"), ("num_ctx", "4096"), ("top_p", "1e-1"), ("use_mmap", "False")]
    assert read_parameters(pairs) == {"num_ctx": 4096, "top_p": 0.1, "use_mmap": False}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
def test_encodings(encoding: str) -> None:
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    data = marks.get(encoding, b"") + "FROM x\nSYSTEM grüße \U0001f600".encode(encoding)
    assert parse_modelfile(data).last("system") == "grüße \U0001f600"


def test_quoting_is_that_of_ollama() -> None:
    assert quote("bare # {{ .X }}") == "bare # {{ .X }}"
    assert quote("a\nb") == '"a\nb"'
    assert quote(" four") == '" four"'
    assert quote('a "b"\n') == '"""a "b"\n"""'
    assert quote('He said ""hi""') == 'He said ""hi""'


VALUES = st.text(st.sampled_from('ab "#\n\r\t\\{')) | st.text()


@given(VALUES)
def test_quoted_values_read_back(text: str) -> None:
    assume('"""' not in text)
    assert value(quote(text)) == text


@given(
    st.lists(
        st.builds(Instruction, st.sampled_from(INSTRUCTIONS), VALUES, st.sampled_from(ROLES)),
        max_size=6,
    )
)
def test_modelfiles_read_back(items: list[Instruction]) -> None:
    assume(not any('"""' in item.value for item in items))
    keyed = ("message", "parameter")
    items = [item if item.name in keyed else Instruction(item.name, item.value) for item in items]
    items.append(Instruction("from", "x"))
    assert parse_modelfile(format_modelfile(items)).instructions == tuple(items)


@given(st.one_of(st.binary(), st.text(st.sampled_from('FROMSYTEfrom "\n\r\t#x')).map(str.encode)))
def test_any_bytes_are_a_modelfile_or_refused(data: bytes) -> None:
    try:
        modelfile = parse_modelfile(data)
    except InvalidRequest:
        return
    assert modelfile.sources


@pytest.mark.parametrize("text", ['"' * 300_000, '"""\n' + "\n" * 300_000, "# x\n" * 100_000])
def test_time_grows_with_the_length_only(text: str) -> None:
    begin = time.process_time()
    with pytest.raises(InvalidRequest):
        parse_modelfile(f"SYSTEM {text}")
    assert time.process_time() - begin < 2


def test_shown_parameters() -> None:
    parameters = {"stop": ["<|a|>", "\n"], "temperature": 0.5, "num_ctx": 4096.0, "gone": None}
    assert format_parameters(parameters) == (
        'stop                           "<|a|>"\n'
        'stop                           "\\n"\n'
        "temperature                    0.5\n"
        "num_ctx                        4096"
    )
    assert parameter_lines({"use_mmap": True, "seed": 7}) == [("use_mmap", "true"), ("seed", "7")]
