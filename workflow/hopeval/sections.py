"""What sections of the configuration have in common."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

CUSTOM = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
"""A class of the user's own, as ``module:Class``."""


class Section(BaseModel):
    """A section whose unknown keys are mistakes, as are values of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class Prompt(Section):
    """What a reader is asked, and in what form it is to answer."""

    template: str = Field(description="Jinja template: a path, or the name of a file in workflow/prompts/.")
    output: Literal["json", "text"] = Field(
        "json", description="json: a schema that the engine enforces where it can; text: free text, parsed tolerantly."
    )


def tag(value: Any, key: str, tags: Mapping[str, str]) -> str | None:
    """Which model a section is checked against, so that its mistakes are told in that model's terms."""
    chosen = value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
    if isinstance(chosen, str) and chosen in tags:
        return tags[chosen]
    return "custom" if isinstance(chosen, str) and ":" in chosen else None
