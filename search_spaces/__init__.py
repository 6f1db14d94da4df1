"""Search spaces: their schema, the shipped ones, and the published settings. Imports neither torch nor ray."""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Where the shipped files lie."""
