"""Kernels of dataset distillation: data, networks, losses, distillation and evaluation. No Ray, no command line."""
