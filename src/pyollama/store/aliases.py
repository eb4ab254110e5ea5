"""Other names for models, given by configuration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pyollama.errors import ConfigError, InvalidName
from pyollama.store.name import Name, split_source


@dataclass(frozen=True, slots=True)
class Aliases:
    """What to look for instead of a name. An alias is not looked up again."""

    targets: dict[tuple[str, ...], str] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]], variable: str) -> Aliases:
        """Pairs of an alias and its target; ``variable`` is what errors say they stand in."""
        targets: dict[tuple[str, ...], str] = {}
        for alias, target in pairs:
            key = _key(alias, variable)
            if not target.startswith("/"):
                _key(target, variable)
            if targets.setdefault(key, target) != target:
                raise _wrong(variable, f"{alias!r} stands for two models")
        return cls(targets)

    def target(self, text: str) -> str | None:
        """What ``text`` stands for, if it is an alias."""
        try:
            return self.targets.get(Name.parse(split_source(text)[0]).key)
        except InvalidName:
            return None


def _key(text: str, variable: str) -> tuple[str, ...]:
    try:
        return Name.parse(text).key
    except InvalidName as error:
        raise _wrong(variable, f"{text!r} is not the name of a model") from error


def _wrong(variable: str, problem: str) -> ConfigError:
    return ConfigError(
        f"{variable}: {problem}",
        hint=f"write {variable}=ALIAS=MODEL,ALIAS=MODEL, for example gpt-4o=qwen3:8b",
        variable=variable,
    )
