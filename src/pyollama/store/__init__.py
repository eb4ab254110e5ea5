"""Models on disk: names, manifests, blobs, Modelfiles and GGUF headers, in Ollama's layout."""
