"""Measuring a synthetic set: accuracy, class-incremental learning, features. Imports nothing, as
planning uses it.
"""
