"""Search spaces: their schema, the shipped ones, and the published settings. Imports neither torch
nor ray.
"""

from pathlib import Path

SHIPPED = Path(__file__).parent / "shipped"
"""Folder of the shipped search spaces."""
DATA = Path(__file__).parent / "data"
"""Folder of the published settings, the published figures and the smoke settings."""
