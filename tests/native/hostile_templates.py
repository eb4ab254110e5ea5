"""Jinja templates made to do harm, and what is said about them."""

from __future__ import annotations

_GROWS = "{% set ns = namespace(x='x') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}"
_DEEPER = "{% set ns = namespace(x=[]) %}{% for i in range(9000000) %}{% set ns.x = [ns.x] %}"
_LOOP = "{% for i in range(100000) %}"

TOO_MUCH = r"takes more processor|takes too much memory|makes more than|ended the process"

HOSTILE: dict[str, tuple[str, str]] = {
    "loop that takes years": (_LOOP * 4 + "{% endfor %}" * 4, "takes more processor"),
    "list of ten billion": ("{{ range(10000000000) | length }}", TOO_MUCH),
    "text times ten billion": ("{{ 'x' * 10000000000 }}", TOO_MUCH),
    "text that doubles": (_GROWS + "{% endfor %}{{ ns.x }}", TOO_MUCH),
    "text replaced by itself": ("{% set a = 'a' * 100000 %}{{ a.replace('a', a) }}", TOO_MUCH),
    "a hundred million characters": ("{{ 'x' * 100000000 }}", TOO_MUCH),
    "indented for ever": ("{{ 'a' | indent(100000000000) }}", TOO_MUCH),
    "macro that calls itself": ("{% macro f(x) %}{{ x(x) }}{% endmacro %}{{ f(f) }}", "ended the"),
    "two hundred thousand brackets": ("{{ " + "[" * 200000 + "]" * 200000 + " }}", "ended the"),
    "list that contains itself": (
        "{% set ns = namespace(x=1) %}{% set ns.x = [ns] %}{{ ns | tojson }}",
        "ended the process",
    ),
    "list a million deep": (_DEEPER + "{% endfor %}", TOO_MUCH),
    "division by zero": ("{{ 5 is divisibleby 0 }}", "ended the process"),
    "no template": ("{% for %}", "chat template"),
}
