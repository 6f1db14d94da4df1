"""Statistics and scores: pure functions over arrays."""
