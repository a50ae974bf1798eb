"""From a name in the configuration to the class that does the work."""

import importlib
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from hopeval.errors import InputError


def load_class(name: str, known: Mapping[str, str], base: type, where: str) -> Any:
    """The class for ``name``: one of ``known`` (name → module:Class), or ``module:Class`` of the user's own.

    The user's modules are looked for in the working directory first. Raises InputError when there is
    no such module or class, or when it is not a whole subclass of ``base``.
    """
    module_name, _, class_name = known.get(name, name).partition(":")
    if name not in known and "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # a module of the user's own may raise anything on import
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{where}: {name!r} cannot be loaded: {reason}; check the name and PYTHONPATH") from None
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"{where}: {name!r} is no subclass of {base.__module__}.{base.__name__}; derive it from that")
    if inspect.isabstract(found):
        raise InputError(f"{where}: {name!r} lacks {', '.join(sorted(vars(found)['__abstractmethods__']))}; define it")
    return found
