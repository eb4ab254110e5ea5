"""Benchmarks: one question per file, JSON out; never imported by the package."""
