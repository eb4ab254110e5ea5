"""Which files of a prompt are taken for images and sounds."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from pyollama.cli import media
from pyollama.cli.media import names_media, take_media
from pyollama.errors import PyollamaError

_PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
_JPEG = b"\xff\xd8\xff\xe0" + bytes(8)
_WAV = b"RIFF\x10\x00\x00\x00WAVEfmt "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(_PNG)
    (tmp_path / "two (1) words.JPG").write_bytes(_JPEG)
    (tmp_path / "sound.wav").write_bytes(_WAV)
    (tmp_path / "text.png").write_bytes(b"no image at all")
    return tmp_path


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_paths_are_taken_out_of_the_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    escaped = f"{folder}/two\\ \\(1\\)\\ words.JPG"
    text = f"Compare '{folder}/a.png' with {escaped} and {folder}/sound.wav please"
    assert take_media(text) == (
        "Compare  with  and  please",
        [encoded(_PNG), encoded(_JPEG), encoded(_WAV)],
    )
    said = capsys.readouterr().err
    assert f"Added image '{folder}/two (1) words.JPG'\n" in said
    assert f"Added audio '{folder}/sound.wav'\n" in said


def test_blanks_may_stand_in_quotes(folder: Path) -> None:
    text, images = take_media(f"look: '{folder}/two (1) words.JPG'")
    assert (text, images) == ("look:", [encoded(_JPEG)])


def test_an_image_counts_once(folder: Path) -> None:
    text, images = take_media(f"{folder}/a.png and {folder}/a.png")
    assert (text, images) == ("and", [encoded(_PNG)])


@pytest.mark.parametrize(
    "text",
    ["./missing.png", "a.png", "see http://example.org/a.png", "  blanks  ", "/" * 10**5],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert take_media(text) == (text, [])


def test_what_is_no_medium_is_an_error(folder: Path) -> None:
    with pytest.raises(PyollamaError, match=r"text\.png: invalid file type"):
        take_media(f"{folder}/text.png")


def test_a_file_may_be_too_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_BYTES", 10)
    with pytest.raises(PyollamaError, match="exceeds maximum limit"):
        take_media(f"{folder}/a.png")


def test_a_line_may_begin_with_a_path(folder: Path) -> None:
    assert names_media(f"{folder}/a.png what is this?")
    assert not names_media("/set system ./a.png")
    assert not names_media("/nowhere/a.png")
