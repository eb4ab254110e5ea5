"""Models from and to registries that speak the protocol of OCI registries, as Ollama's does."""
