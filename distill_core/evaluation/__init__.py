"""Evaluation of synthetic sets: accuracy, class-incremental learning, features.

Nothing is imported here, because planning uses `class_order` without torch.
"""
