"""Found only where the compiled binding of the same name is missing, which Python prefers."""

raise ImportError(
    "pyollama's native extension is not built. In a checkout run 'make setup' (or "
    "'pip install -e .'); otherwise reinstall the package with 'pip install --force-reinstall "
    "pyollama'.",
    name="pyollama._native",
)
