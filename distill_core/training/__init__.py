"""Training networks on real or synthetic images, and the pool of extractors."""
