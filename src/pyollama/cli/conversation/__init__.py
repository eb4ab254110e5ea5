"""The conversation that ``pyollama run MODEL`` holds on a terminal."""
