"""YAML as plain values that remember their lines; what could be read in two ways is refused.

Numbers, booleans and null follow YAML 1.2 (`1e-3` is a number, `010` is ten, `no` is a word), a key
may not occur twice, and tags, recursive anchors and anchors that multiply into more than
`MAX_VALUES` values are errors.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from search_spaces.errors import InvalidValue, SpaceError

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000

_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
_UNUSABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

YamlPath = tuple[str | int, ...]
Value = dict[str, Any] | list[Any] | str | int | float | bool | None


class _Composer(yaml.SafeLoader):
    """PyYAML's parser with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+(_[0-9]+)*", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
):
    _firsts = ["" if first == "\0" else first for first in _first]
    _Composer.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), _firsts)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed YAML text."""

    name: str
    """What messages call it: the file's path, or the `--set` argument."""
    value: Any
    """Its content as dicts with text keys, lists, text, numbers, booleans and None."""
    root: Node | None = field(repr=False, default=None)
    """The parsed nodes, which know their lines; None where a line number would not help."""

    def error(self, invalid: InvalidValue) -> SpaceError:
        """Return the error of a value that does not fit, with its place."""
        line = self.line(invalid.path)
        place = f"{self.name}:{line}" if line else self.name
        dotted = format_path(invalid.path)
        text = ": ".join(part for part in (place, dotted, invalid.message) if part)
        return SpaceError(" ".join(text.splitlines()))

    def line(self, path: YamlPath) -> int | None:
        """Return the line of the value at `path`, or of the deepest part of `path` that exists.

        Lines are counted from 1; None where they are not known.
        """
        if self.root is None:
            return None
        node, line = self.root, self.root.start_mark.line
        for step in path:
            found = _find_child(node, step)
            if found is None:
                break
            line, node = found
        return int(line) + 1


def format_path(path: YamlPath) -> str:
    """Write a path as `experiments[0].ipc`."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(parts).lstrip(".")


def read_document(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        SpaceError: the file cannot be read or is not YAML as described above.
    """
    try:
        if not path.exists():
            raise SpaceError(
                f"{path}: there is no such file; `iid spaces` lists the shipped search spaces"
            )
        if not path.is_file():
            raise SpaceError(f"{path} is not a file; give a YAML file")
        if path.stat().st_size > MAX_BYTES:
            raise SpaceError(f"{path} has more than {MAX_BYTES:,} bytes; that is no search space")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SpaceError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SpaceError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"
        ) from error
    return parse_document(str(path), text)


def parse_document(name: str, text: str, *, lines: bool = True) -> Document:
    """Parse a YAML text; `name` and, with `lines`, a line number stand in messages.

    Raises:
        SpaceError: the text is not YAML as described above.
    """
    try:
        root = _compose(text)
        if root is None:
            return Document(name, None)
        return Document(name, _ValueBuilder().build(root, ()), root if lines else None)
    except yaml.MarkedYAMLError as error:
        place = f"{name}:{error.problem_mark.line + 1}" if error.problem_mark and lines else name
        raise SpaceError(f"{place}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise SpaceError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise SpaceError(f"{name}: lists and mappings are nested too deeply") from error
    except InvalidValue as invalid:
        raise Document(name, None, root if lines else None).error(invalid) from invalid


def _compose(text: str) -> Node | None:
    composer = _Composer(text)
    try:
        return composer.get_single_node()
    finally:
        composer.dispose()


class _ValueBuilder:
    """Turns nodes into values and counts them."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.count = 0

    def build(self, node: Node, path: YamlPath) -> Value:
        self.count += 1
        if self.count > MAX_VALUES:
            raise InvalidValue(f"the anchors multiply into more than {MAX_VALUES:,} values", path)
        if isinstance(node, ScalarNode):
            return _read_scalar(node, path)
        if id(node) in self.open:
            raise InvalidValue("an anchor contains itself", path)
        self.open.add(id(node))
        value = (
            self._mapping(node, path)
            if isinstance(node, MappingNode)
            else self._sequence(node, path)
        )
        self.open.remove(id(node))
        return value

    def _sequence(self, node: Node, path: YamlPath) -> list[Any]:
        if node.tag != _TAG + "seq":
            raise InvalidValue(f"the tag {node.tag} is not supported", path)
        return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode, path: YamlPath) -> dict[str, Any]:
        if node.tag != _TAG + "map":
            raise InvalidValue(f"the tag {node.tag} is not supported", path)
        given: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, item in node.value:
            if key.tag == _MERGE:
                merged = self._merged(item, path) | merged
                continue
            if not isinstance(key, ScalarNode):
                raise InvalidValue(
                    f"a key in line {key.start_mark.line + 1} is not plain text", path
                )
            name = _check_text(key.value, path)
            if name in given:
                raise InvalidValue(
                    f"the key occurs twice, again in line {key.start_mark.line + 1}", (*path, name)
                )
            given[name] = self.build(item, (*path, name))
        return merged | given  # what the mapping says itself wins

    def _merged(self, node: Node, path: YamlPath) -> dict[str, Any]:
        value = self.build(node, path)
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(value, dict) for value in values):
            raise InvalidValue("<< merges mappings only", path)
        merged: dict[str, Any] = {}
        for value in reversed(values):  # of several mappings the first wins
            merged.update(value)
        return merged


def _read_scalar(node: ScalarNode, path: YamlPath) -> Value:
    kind: str = node.tag.removeprefix(_TAG)
    text: str = node.value
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
    except ValueError as error:
        raise InvalidValue(f"{text[:40]!r} is not a number that can be read", path) from error
    if kind == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind == "null":
        return None
    if kind == "str":
        return _check_text(text, path)
    raise InvalidValue(f"the tag {node.tag} is not supported here", path)


def _check_text(text: str, path: YamlPath) -> str:
    if _UNUSABLE.search(text):
        raise InvalidValue(f"{text[:40]!r} contains a control character", path)
    return text


def _find_child(node: Node, step: str | int) -> tuple[int, Node] | None:
    """Return the line and node of a part of `node`."""
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        item: Node = node.value[step]
        return item.start_mark.line, item
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key.start_mark.line, value
    return None
