"""Layouts of files that others write, one module for each."""
