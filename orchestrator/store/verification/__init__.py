"""Compare a store with what it says of itself, and repair it."""
