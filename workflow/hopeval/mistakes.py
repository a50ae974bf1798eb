"""What pydantic found wrong, in words for those who wrote it: the key's path, the value, what would be right."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import ValidationError

Path: TypeAlias = Sequence[int | str]
"""The keys and list positions that lead to a value."""

_NAME_RULE = "use letters, digits, '-' and '_', a letter or digit first (a reader's may hold dots)"


def mistakes(
    error: ValidationError,
    values: Any,
    alternatives: Mapping[str, tuple[str, str]],
    keys_beside: Callable[[Path], set[str]],
    prefix: Path = (),
) -> list[str]:
    """A line for each mistake that pydantic found in ``values``.

    ``alternatives`` names, for each section whose entries are of several kinds, the key that tells them
    apart and its values; ``keys_beside`` the keys that could have been meant at a path; ``prefix`` is
    where ``values`` stands in the whole.
    """
    return [
        _mistake(item, [*prefix, *_real_path(item, values)], alternatives, keys_beside)
        for item in error.errors(include_url=False)
    ]


def _mistake(
    item: Any, path: Path, alternatives: Mapping[str, tuple[str, str]], keys_beside: Callable[[Path], set[str]]
) -> str:
    where = ".".join(map(str, path)) or "the configuration"
    match item["type"]:
        case "missing":
            return f"{where}: is missing; add it"
        case "extra_forbidden":
            return f"{where}: unknown key{_suggestion(path[-1], keys_beside(path))}; remove or rename it"
        case "union_tag_not_found" | "union_tag_invalid":
            key, allowed = alternatives[str(path[0])]
            if not isinstance(item["input"], Mapping):
                return f"{where}: found {item['input']!r}; must be a section with {key}: one of {allowed}"
            found = item["input"].get(key)
            return f"{where}.{key}: found {found!r}{_suggestion(found, allowed.split(', '))}; must be one of {allowed}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"{where}: found {item['input']!r}; must be a section of keys and values"
        case "too_short":
            return f"{where}: is empty; it needs at least one entry"
        case "literal_error" if path == ["experiments"]:
            return f"{where}: found {item['input']!r}; must be 'all' or a list of globs over experiment names"
        case "string_type" if "[key]" in item["loc"]:
            return f"{where}: the name {item['input']!r} is no text; quote it (YAML reads no, yes, on and off so)"
        case "string_pattern_mismatch" if "[key]" in item["loc"] or path[-1] == "name":
            return (
                f"{where}: {path[-1] if '[key]' in item['loc'] else item['input']!r} is not a usable name; {_NAME_RULE}"
            )
        case "string_pattern_mismatch":
            return f"{where}: found {item['input']!r}; must match {item['ctx']['pattern']}"
        case "secret":
            return f"{where}: {item['msg']}"
    message = item["msg"].removeprefix("Value error, ").replace("Input should be ", "must be ")
    if not message.startswith("must "):
        message = f"must be {message}"
    return (
        f"{where}: {message}" if isinstance(item["input"], Mapping) else f"{where}: found {item['input']!r}; {message}"
    )


def _real_path(item: Any, values: Any) -> list[int | str]:
    """The path without pydantic's own steps (union tags, type names), by walking along the input."""
    path: list[int | str] = []
    last = len(item["loc"]) - 1
    for place, step in enumerate(item["loc"]):
        if isinstance(values, Mapping) and step in values:
            values = values[step]
        elif isinstance(values, list) and isinstance(step, int):
            values = values[step] if step < len(values) else None
        elif place < last or item["type"] != "missing":
            continue
        path.append(step)
    return [step for step in path if step != "[key]"]


def _suggestion(found: Any, known: Any) -> str:
    close = difflib.get_close_matches(str(found), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
