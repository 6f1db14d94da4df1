"""Running networks on a device: execution modes, precision, chunk sizes, CUDA graphs, Winograd."""
