"""vendor/llama.cpp/sync.py on a source of a few bytes."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "vendor" / "llama.cpp" / "sync.py"
FILES = {
    "CHANGELOG.md": "- update to llama.cpp@abcdef123\n- update to llama.cpp@000000000\n",
    "vendor/llama.cpp/.git": "gitdir: elsewhere",
    "vendor/llama.cpp/LICENSE": "MIT",
    "vendor/llama.cpp/docs/readme.md": "not taken",
    "vendor/llama.cpp/src/llama.cpp": "int main() {}",
    "vendor/llama.cpp/src-other/x.cpp": "not taken either",
    "vendor/llama.cpp/models/vocab.gguf": "GGUF",
}
PIN = """\
[source]
project = "source"
version = "1.0"
sha256 = "{sha256}"
commit = "123456789"
folder = "vendor/llama.cpp"

[take]
build = ["LICENSE", "src"]
tests = ["models"]
"""


def write_archive(path: Path, files: dict[str, str] = FILES) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"source-1.0/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "source-1.0.tar.gz"


@pytest.fixture
def sync(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script with ``tmp_path/vendor`` as its folder and no way to download."""
    spec = importlib.util.spec_from_file_location("sync", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "sync", module)
    spec.loader.exec_module(module)

    folder = tmp_path / "vendor"
    folder.mkdir()
    (folder / "pin.toml").write_text(PIN.format(sha256=write_archive(archive)))
    monkeypatch.setattr(module, "HERE", folder)
    monkeypatch.setattr(module, "PIN", folder / "pin.toml")
    monkeypatch.setattr(module, "TREE", folder / "tree")

    def offline(requirement: str, into: Path, *options: str) -> Path:
        raise module.SyncError("no network")

    monkeypatch.setattr(module, "download", offline)
    return module


def run(sync: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["sync.py", *map(str, arguments)])
    status: int = sync.main()
    return status


def tree_of(sync: ModuleType) -> dict[str, str]:
    files = (path for path in sync.TREE.rglob("*") if path.is_file() and path.name != sync.STAMP)
    return {path.relative_to(sync.TREE).as_posix(): path.read_text() for path in files}


TAKEN = {"LICENSE": "MIT", "src/llama.cpp": "int main() {}", "models/vocab.gguf": "GGUF"}


def test_takes_what_the_pin_lists(
    sync: ModuleType, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(sync, monkeypatch, "--archive", archive) == 0
    assert tree_of(sync) == TAKEN
    assert {path.name for path in sync.HERE.iterdir()} == {"pin.toml", "tree"}


def test_does_nothing_when_the_tree_is_there(
    sync: ModuleType, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(sync, monkeypatch, "--archive", archive)
    before = sync.TREE.stat()
    assert run(sync, monkeypatch) == 0
    assert sync.TREE.stat().st_ino == before.st_ino


def test_a_part_of_the_tree_is_enough_for_a_build(
    sync: ModuleType, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(sync, monkeypatch, "--archive", archive)
    (sync.TREE / "models" / "vocab.gguf").unlink()
    (sync.TREE / "models").rmdir()
    assert run(sync, monkeypatch, "build") == 0
    assert run(sync, monkeypatch) == 1


def test_another_source_is_refused_and_leaves_the_tree(
    sync: ModuleType,
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(sync, monkeypatch, "--archive", archive)
    sync.PIN.write_text(PIN.format(sha256="0" * 64))
    assert run(sync, monkeypatch, "--archive", archive) == 1
    assert "sha256" in capsys.readouterr().err
    assert tree_of(sync) == TAKEN


def test_a_source_without_a_listed_folder_is_refused_and_leaves_the_tree(
    sync: ModuleType, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(sync, monkeypatch, "--archive", archive)
    files = {name: text for name, text in FILES.items() if "/src/" not in name}
    sync.PIN.write_text(PIN.format(sha256=write_archive(archive, files)))
    assert run(sync, monkeypatch, "--archive", archive) == 1
    assert tree_of(sync) == TAKEN


def test_a_failed_download_leaves_the_tree(
    sync: ModuleType, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(sync, monkeypatch, "--archive", archive)
    sync.PIN.write_text(PIN.format(sha256="0" * 64))
    assert run(sync, monkeypatch) == 1
    assert tree_of(sync) == TAKEN


def test_a_bump_rewrites_the_pin(
    sync: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = tmp_path / "newer.tar.gz"
    sha256 = write_archive(newer, FILES | {"vendor/llama.cpp/src/new.cpp": "new"})
    monkeypatch.setattr(sync, "download", lambda requirement, into, *options: newer)
    assert run(sync, monkeypatch, "--bump", "2.0") == 0
    pin = sync.Pin.read()
    assert (pin.version, pin.sha256, pin.commit) == ("2.0", sha256, "abcdef123")
    assert pin.folder == "vendor/llama.cpp"
    assert tree_of(sync) == TAKEN | {"src/new.cpp": "new"}
