"""Distillation: the base methods, their losses and the loop over iterations."""
