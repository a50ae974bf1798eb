"""What sections of the configuration have in common."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

CUSTOM = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
"""A class of the user's own, as ``module:Class``."""


_SECRET = re.compile(r"(?i)(.*[-_])?(api[-_]?key|authorization|bearer|headers|token|password|secret)")
_SECRET_QUERY = re.compile(
    r"(?i)^https?://([^/?#]*@|.*[?&][\w-]*(key|token|sig|signature|credential|password|secret)[\w-]*=)"
)


def secret(problem: str, repair: str) -> PydanticCustomError:
    """A mistake that is told without the value: it would show a key."""
    return PydanticCustomError(
        "secret", "{problem}: logs would show it; {repair}", {"problem": problem, "repair": repair}
    )


def _without_secret(options: dict[str, Any]) -> dict[str, Any]:
    if names := [name for name in _names(options) if _SECRET.fullmatch(name)]:
        raise secret(
            f"{names[0]!r} must not be here",
            "put it into an environment variable (api_key_env names one, the hub takes HF_TOKEN)",
        )
    return options


def _names(value: Any) -> Iterator[str]:
    """The names of all fields, at any depth."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def _public(source: str) -> str:
    if _SECRET_QUERY.match(source):
        raise secret("must be without user, password or signature", "fetch the file yourself and give its path")
    return source


Options = Annotated[dict[str, Any], AfterValidator(_without_secret)]
"""Settings by names that are not ours. They stand in files, logs and reports, so they may hold no secret."""
Source = Annotated[str, AfterValidator(_public)]
"""A path or a URL, of which the same holds."""


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
