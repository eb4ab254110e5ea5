"""What becomes of a prefix that has to leave the KV cache: host memory, then disk."""
