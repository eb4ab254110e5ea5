"""``python -m pyollama`` is the ``pyollama`` command."""

from pyollama.cli.main import main

if __name__ == "__main__":
    main()
