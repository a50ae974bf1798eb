"""One module a verb: ``add_arguments(parser)`` and ``run(args)``."""

import argparse
import json
from typing import Any


def mapping(argument: str) -> dict[str, Any]:
    """A section of the configuration: inline JSON, or the path of a YAML or JSON file.

    Raises argparse.ArgumentTypeError when it is neither.
    """
    if argument.lstrip().startswith("{"):
        try:
            value = json.loads(argument)
        except json.JSONDecodeError as error:
            raise argparse.ArgumentTypeError(f"malformed JSON: {error}") from None
    else:
        value = _load_yaml(argument)
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{argument!r} holds a {type(value).__name__}, not a mapping of keys")
    return value


def _load_yaml(path: str) -> Any:
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            return yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise argparse.ArgumentTypeError(f"neither inline JSON nor a readable YAML file: {error}") from None


def positive(argument: str) -> int:
    """A whole number from 1. Raises argparse.ArgumentTypeError."""
    if not argument.isdecimal() or int(argument) < 1:
        raise argparse.ArgumentTypeError(f"{argument!r} is not a whole number from 1")
    return int(argument)


def named(argument: str) -> tuple[str, str]:
    """``NAME=PATH`` as a pair. Raises argparse.ArgumentTypeError."""
    name, separator, path = argument.partition("=")
    if not (name and separator and path):
        raise argparse.ArgumentTypeError(f"{argument!r} is not NAME=PATH")
    return name, path
