"""Finding tags in text that arrives in pieces."""

from __future__ import annotations


def partial_tag(text: str, tag: str) -> int:
    """How many characters at the end of ``text`` may be the beginning of ``tag``."""
    for size in range(min(len(text), len(tag) - 1), 0, -1):
        if tag.startswith(text[-size:]):
            return size
    return 0


def partial_tags(text: str, tags: tuple[str, ...]) -> int:
    """The same for the longest beginning of any of several tags."""
    return max((partial_tag(text, tag) for tag in tags), default=0)
