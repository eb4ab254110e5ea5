"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no bug: examples have no deadline, and a failure prints how to repeat it.
settings.register_profile("pyollama", deadline=None, print_blob=True)
settings.load_profile("pyollama")
