"""The command line again, with each answer to what was asked about a set."""

import shlex
from collections.abc import Sequence

from distill_core.importers.raw_set import Answer

FLAGS = ("--join", "--no-check")
"""Options without a value."""


def list_commands(words: Sequence[str], path: str, answers: Sequence[Answer]) -> list[str]:
    """Return a command line for each answer, with its meaning as a comment.

    Args:
        words: the command line that was given.
        path: the path in it that the question is about.
        answers: what can be said.
    """
    return [
        f"{shlex.join(apply_answer(words, path, answer))}    # {answer.meaning}"
        for answer in answers
    ]


def apply_answer(words: Sequence[str], path: str, answer: Answer) -> list[str]:
    """Return a command line with one answer; options that it contradicts are left out."""
    replaced = {word for word in answer.options if word.startswith("--")}
    kept: list[str] = []
    skip = False
    for word in words:
        name = word.split("=")[0]
        if skip:
            skip = False
        elif name in replaced:
            skip = word == name and name not in FLAGS
        else:
            kept.append(f"{path}{answer.place}" if word == path else word)
    return [*kept, *answer.options]
