"""Use cases: what a caller wants, without HTTP. A dialect turns bodies into these requests."""
