"""Ollama's own API: ``schemas`` (what comes in), ``convert`` (both ways), ``routes``."""
