from __future__ import annotations

import pytest

from pyollama.errors import ConfigError
from pyollama.server.origins import Origins


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost", True),
        ("https://127.0.0.1:8443", True),
        ("http://0.0.0.0:1", True),
        ("app://anything", True),
        ("file://", True),
        ("vscode-webview://abc", True),
        ("http://localhost.evil.example", False),
        ("http://LOCALHOST:3000", False),
        ("http://[::1]:3000", False),
        ("localhost:3000", False),
        ("null", False),
        ("https://evil.example\nhttp://localhost", False),
    ],
)
def test_default_list(origin: str, allowed: bool) -> None:
    assert Origins.build(()).allow(origin) is allowed


@pytest.mark.parametrize(
    ("entry", "origin"),
    [
        ("https://a.example", "https://a.example"),
        ("https://*.example", "https://deep.a.example"),
        ("chrome-extension://*", "chrome-extension://abc"),
        ("/^https://[a-c]\\.example$/", "https://b.example"),
        ("*", "https://anything.example"),
    ],
)
def test_further_entries(entry: str, origin: str) -> None:
    assert Origins.build([entry]).allow(origin)
    assert not Origins.build(()).allow(origin)


@pytest.mark.parametrize("entry", ["example.com", "https://*.a.*", "/(/"])
def test_bad_entries_name_the_variable(entry: str) -> None:
    with pytest.raises(ConfigError, match="OLLAMA_ORIGINS"):
        Origins.build([entry])
