"""Fill in a template. Every value is checked or quoted, so that none becomes part of a script."""

import json
import re
import shlex
from collections.abc import Mapping

from distill_core.settings import SettingsError
from orchestrator.cluster.manifests.job import ClusterJob

_WORD = re.compile(r"[\w./:@+=-]+", re.ASCII)


def render_template(template: str, job: ClusterJob, **values: object) -> str:
    """Return the text of a file.

    Args:
        template: file name in the folder templates, without .jinja.
        job: the job.
        values: what else the template names.
    """
    # Imported only here: the command line imports this module, and most commands need no template.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("orchestrator.cluster.manifests"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # no template is HTML; the filters `shell` and `yaml` quote values
    )
    environment.filters["shell"] = shlex.quote
    environment.filters["yaml"] = json.dumps  # JSON is YAML
    return environment.get_template(f"{template}.jinja").render(job=job, space=job.space, **values)


def check_words(options: Mapping[str, str | None]) -> None:
    """Check values that templates do not quote.

    Args:
        options: values by the name of their option; None where an option is not given.

    Raises:
        SettingsError: a value has spaces or special characters.
    """
    for name, value in options.items():
        if value is not None and _WORD.fullmatch(value) is None:
            raise SettingsError(
                f"--{name} is {value!r}; give a name without spaces or special characters"
            )
