"""Jinja templates of models, run in a process of their own: see docs/templates.md."""
