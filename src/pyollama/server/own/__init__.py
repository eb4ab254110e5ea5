"""Routes below ``/api`` that Ollama does not have, in the words of its API."""
