"""What a file for a cluster is to run, and on how much."""

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from distill_core.settings import SettingsError
from orchestrator.store.storage.object_client import check_protocol

_TIME = re.compile(r"(?:(\d{1,3})-)?(\d{1,3}):([0-5]\d):([0-5]\d)")
_MIN_SIZES = {"nodes": 1, "cpus": 1, "gpus": 0, "memory": 1}
_MAX_NAME_LENGTH = 40
"""Kubernetes allows 47 for a RayJob; "iid-" comes before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterJob:
    """A launch on a cluster.

    Raises:
        SettingsError: a size is impossible; names the option.
        StoreError: the store's URL is of a kind that no store can have.
    """

    space: str
    """A shipped search space, or a YAML file that the nodes see."""
    store: str
    data: str
    nodes: int
    cpus: int
    """CPU cores per node."""
    gpus: int
    """GPUs per node."""
    memory: int
    """Gigabytes per node."""
    time: str = "24:00:00"
    """As Slurm writes it: HH:MM:SS or D-HH:MM:SS."""
    options: tuple[str, ...] = field(default=())
    """More arguments for `iid run`."""

    def __post_init__(self) -> None:
        for name, least in _MIN_SIZES.items():
            if (value := getattr(self, name)) < least:
                raise SettingsError(f"--{name} is {value}; give at least {least}")
        if _TIME.fullmatch(self.time) is None or self.seconds == 0:
            raise SettingsError(
                f"--time is {self.time!r}; give HH:MM:SS or D-HH:MM:SS, more than 0, with minutes"
                " and seconds below 60"
            )
        for name in ("space", "store", "data"):
            if not (value := getattr(self, name)).strip() or not value.isprintable():
                raise SettingsError(f"{format_option(name)} is {value!r}; give a name or a path")
        if self.is_store_remote:
            check_protocol(self.store)

    @property
    def name(self) -> str:
        """Name of the job, made of the letters that Kubernetes allows."""
        stem = PurePosixPath(self.space).stem if self.is_space_file else self.space
        words = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
        return f"iid-{words[:_MAX_NAME_LENGTH].strip('-') or 'run'}"

    @property
    def seconds(self) -> int:
        """The time in seconds."""
        match = _TIME.fullmatch(self.time)
        if match is None:
            return 0
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    @property
    def is_space_file(self) -> bool:
        """Whether the search space is a file, as opposed to a shipped one."""
        return self.space.endswith((".yaml", ".yml"))

    @property
    def is_store_remote(self) -> bool:
        """Whether the store is behind a URL, as on S3, and not in a folder."""
        return "://" in self.store

    def describe_machines(self, noun: str) -> str:
        """Describe what it runs on, such as "2 nodes, each with 8 CPU cores and 1 GPU"."""
        sizes = []
        for count, what in ((self.cpus, "CPU core"), (self.gpus, "GPU")):
            if count:
                sizes.append(f"{count} {what}{'s' * (count != 1)}")
        machines = f"{self.nodes} {noun}{'s, each' * (self.nodes != 1)}"
        return f"{machines} with {' and '.join(sizes)}"

    def build_command(self, *more: str) -> list[str]:
        """Return the command that runs on the first node."""
        where = ["--address", "auto", "--store", self.store, "--data", self.data]
        return ["iid", "run", self.space, *where, *more, *self.options]

    def build_command_on_mount(self, mount: str) -> list[str]:
        """Return the command for nodes that share a mounted file system only.

        Raises:
            SettingsError: the store, the data or the search space is outside of it.
        """
        if re.fullmatch(r"(/[\w.-]+)+", mount, re.ASCII) is None:
            raise SettingsError(f"--mount is {mount!r}; give an absolute path of plain names")
        paths = {"data": self.data}
        if not self.is_store_remote:
            paths["store"] = self.store
        if self.is_space_file:
            paths["space"] = self.space
        for name, value in paths.items():
            path = PurePosixPath(value)
            # A path such as /shared/../etc starts with the mount, yet leads out of it.
            if not path.is_relative_to(mount) or ".." in path.parts:
                raise SettingsError(
                    f"{format_option(name)} is '{path}'; put it below {mount}, which all nodes"
                    " share (see --mount)"
                )
        reports = PurePosixPath(mount) / "reports" / self.name.removeprefix("iid-")
        return self.build_command("--out", str(reports))


def format_option(name: str) -> str:
    """Write an argument of the command line as its help does."""
    return name.upper() if name == "space" else f"--{name}"
