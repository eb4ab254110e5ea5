"""Other weight formats into GGUF: llama.cpp's converter, run in a process of its own.

``process`` is the side of whoever wants something converted, all else runs in that process.
"""
