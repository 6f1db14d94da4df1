"""What a user asks for: a search space, its full or its small version, and changes to it."""

import shlex
from dataclasses import dataclass

from search_spaces.experiments import Space
from search_spaces.load import load_space


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A search space as the command line names it."""

    space: str
    """A shipped name, or the path of a YAML file."""
    overrides: tuple[str, ...] = ()
    """`path=value` each, as `--set` takes them."""
    smoke: bool = False
    """The small version."""

    def load(self) -> Space:
        """Read the search space.

        Raises:
            SpaceError: it or an override cannot be used.
        """
        return load_space(self.space, self.overrides, smoke=self.smoke)

    @property
    def name(self) -> str:
        """What people call it, such as "paper --smoke"."""
        return f"{self.space} --smoke" if self.smoke else self.space

    def command(self, verb: str, *options: str) -> str:
        """Return the command line that asks for the same, with further options."""
        words = ["iid", verb, self.space]
        if self.smoke:
            words.append("--smoke")
        for override in self.overrides:
            words += ["--set", override]
        return shlex.join([*words, *options])
