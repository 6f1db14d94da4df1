"""The source of custom objects as a hash: what is recorded with results, and compared later.

Nothing is imported. The hash covers the module that an object is named by, and every module that it
imports from beside it, directly or not. Installed packages that are not its own are left out.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from distill_core.extensions import split_name

HASH_LENGTH = 16


def hash_source(name: str) -> str | None:
    """Return 16 hex digits of SHA-256 over the source behind `module:object`; None if unknown."""
    module, _ = split_name(name)
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    origin = Path(spec.origin)
    levels = module.count(".") + (origin.stem == "__init__")
    root = origin.parents[levels]
    digest = hashlib.sha256()
    try:
        for file in sorted(_collect(origin, root)):
            digest.update(f"{file.relative_to(root)}\0".encode())
            digest.update(file.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    except OSError:
        return None
    return digest.hexdigest()[:HASH_LENGTH]


def _collect(origin: Path, root: Path) -> set[Path]:
    """Return a file and the files below `root` that it imports, directly or not."""
    found, waiting = {origin}, [origin]
    # Modules of a folder of installed packages belong to a plug-in only where its package has them.
    installed = root.name in ("site-packages", "dist-packages")
    base = root / origin.relative_to(root).parts[0] if installed else root
    while waiting:
        file = waiting.pop()
        for imported in _list_imports(file, root):
            if imported not in found and (imported == base or base in imported.parents):
                found.add(imported)
                waiting.append(imported)
    return found


def _list_imports(file: Path, root: Path) -> Iterator[Path]:
    """Yield the files below `root` that a file's import statements can mean."""
    for parts in _parse_imports(file, file.stat().st_mtime_ns, root):
        for length in range(1, len(parts) + 1):
            module = root.joinpath(*parts[:length])
            for candidate in (module.with_name(f"{module.name}.py"), module / "__init__.py"):
                if candidate.is_file():
                    yield candidate


@lru_cache(maxsize=256)
def _parse_imports(file: Path, changed: int, root: Path) -> tuple[tuple[str, ...], ...]:
    """Return the dotted names that a file imports, relative ones completed, in parts."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # not Python, such as a compiled module
        return ()
    package = file.parent.relative_to(root).parts
    names: list[tuple[str, ...]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = (*start, *(node.module.split(".") if node.module else ()))
            names += [(*module, alias.name) for alias in node.names]
    return tuple(names)
