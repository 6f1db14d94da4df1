"""Let pages link to files outside docs/, on GitHub and on the site alike.

A link such as `../benchmarks/README.md` works on GitHub but leaves the site. So each of these files
is copied below `repository/`, and links between them and docs/ are rewritten to match.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "benchmarks/README.md",
    "tests/golden/README.md",
)
PREFIX = "repository/"
_LINK = re.compile(r"(\]\()([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside docs/ to the site."""
    for path in OUTSIDE:
        text = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, PREFIX + path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links that lead to such a file, and all links of such a file."""
    here = page.file.src_uri
    in_repository = here.removeprefix(PREFIX) if here.startswith(PREFIX) else f"docs/{here}"

    def rewrite(match: re.Match[str]) -> str:
        target = match[2]
        if re.match(r"[a-z]+:", target):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(in_repository), target))
        on_site = PREFIX + path if path in OUTSIDE else path.removeprefix("docs/")
        return match[1] + posixpath.relpath(on_site, posixpath.dirname(here) or ".")

    return _LINK.sub(rewrite, markdown)
