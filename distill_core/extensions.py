"""Custom losses, base methods, networks and readers, each named by its location: `module:object`.

Such a name may be used wherever a built-in name may. A worker needs nothing else to import the
object, and as part of a unit it distinguishes implementations, so nothing has to be registered.
`module:object@2` names the second version of an object: raise the number when an edit changes
results, and results of the first version stay valid.

Names are checked without importing the module, so planning stays free of torch.
"""

import difflib
import importlib
import importlib.util
import logging
import os
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from distill_core.settings import SettingsError, is_custom

_log = logging.getLogger(__name__)

CUSTOM_NAME = re.compile(r"(?P<module>[A-Za-z_][\w.]*):(?P<object>[A-Za-z_]\w*)(@[1-9]\d*)?")


def require_importable(name: str) -> str:
    """Return a name `module:object` unchanged if its module can be found.

    Only the packages that contain the module are imported. A module that is found nowhere else may
    be in the working folder, which is then added to the path, with a warning in the log.

    Raises:
        SettingsError: the name has another form, or there is no such module.
    """
    module, _ = split_name(name)
    if not _is_there(module) and not _find_in_working_folder(module):
        raise SettingsError(f"{name!r}: {_missing_module_message(module)}")
    return name


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _find_in_working_folder(module: str) -> bool:
    """Tell whether a module is in the working folder, and if so import from there from now on.

    Python itself does so for `python -m`, but not for an installed command. The folder comes last,
    so a file in it hides no installed module. Processes that this one starts find it too.
    """
    folder = str(Path.cwd())
    found = PathFinder.find_spec(module.partition(".")[0], [folder])
    if folder in sys.path or found is None or found.origin is None:
        return False
    sys.path.append(folder)
    importlib.invalidate_caches()
    if not _is_there(module):
        sys.path.remove(folder)
        return False
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join([*filter(None, paths), folder])
    _log.warning("module %s is taken from the working folder, %s", module, folder)
    return True


def import_object(name: str) -> Any:
    """Import the object that a name `module:object` refers to.

    Raises:
        SettingsError: the module is missing or fails to import, or has no such object.
    """
    module, attribute = split_name(name)
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise SettingsError(f"{name!r}: {_missing_module_message(module)}") from error
        raise SettingsError(f"{name!r}: importing {module} failed: {error}") from error
    except (Exception, SystemExit) as error:
        raise SettingsError(
            f"{name!r}: importing {module} failed: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(imported, attribute):
        public = [key for key in vars(imported) if key[0] != "_"]
        close = difflib.get_close_matches(attribute, public, n=1)
        hint = f"; did you mean {module}:{close[0]}?" if close else ""
        raise SettingsError(f"{name!r}: module {module} has no {attribute}{hint}")
    return getattr(imported, attribute)


def split_name(name: str) -> tuple[str, str]:
    """Split `module:object` or `module:object@2` into module and object.

    Raises:
        SettingsError: the name has another form.
    """
    match = CUSTOM_NAME.fullmatch(name)
    if not is_custom(name) or match is None:
        raise SettingsError(
            f"{name[:80]!r} is not a name of the form module:object, such as"
            " my_package.losses:spread"
        )
    return match["module"], match["object"]


def _missing_module_message(module: str) -> str:
    return (
        f"there is no module {module}; install its package, run from its folder, or add that to the"
        " environment variable PYTHONPATH (on a cluster, on every node)"
    )
