"""The base of all models of a search-space file: strict, and without unknown keys."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from search_spaces.errors import suggest_name


class StrictModel(BaseModel):
    """No conversions, no unknown keys; the hint names the nearest known one."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        for key in data:
            if key not in cls.model_fields:
                problem = f"unknown key {key[:80]!r}{suggest_name(key, cls.model_fields)}"
                raise PydanticCustomError(
                    "unknown_key", "{problem}", {"problem": problem, "key": key}
                )
        return data
