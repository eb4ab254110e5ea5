"""The pin of llama.cpp, and what of it is shipped."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "vendor" / "llama.cpp"
PIN = tomllib.loads((VENDOR / "pin.toml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_pin_names_one_immutable_source() -> None:
    source = PIN["source"]
    assert re.fullmatch(r"[0-9a-f]{64}", source["sha256"])
    assert re.fullmatch(r"[0-9a-f]{7,40}", source["commit"])
    assert re.fullmatch(r"[0-9.]+", source["version"])


def test_the_sdist_ships_what_a_build_needs() -> None:
    shipped = PROJECT["tool"]["scikit-build"]["sdist"]["include"]
    needed = [".pin", *PIN["take"]["build"], *PIN["take"]["convert"]]
    assert sorted(shipped) == sorted(f"vendor/llama.cpp/tree/{path}" for path in needed)


def test_every_licence_in_the_shipped_tree_is_noticed() -> None:
    notices = (ROOT / "THIRD_PARTY_NOTICES.md").read_text()
    for work in ("llama.cpp", "cpp-httplib", "JSON for Modern C++", "stb_image", "xxHash"):
        assert work in notices
