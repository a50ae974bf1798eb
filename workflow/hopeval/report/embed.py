"""Data inside a page: as text that cannot end a script element, or packed in blocks that are opened when needed."""

import base64
import json
import math
import zlib
from collections.abc import Iterator
from typing import Any

_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def json_text(value: Any) -> str:
    r"""JSON that may stand in a script element whatever texts it holds: no ``<`` is left in it.

    >>> json_text({"a": "</script>", "b": float("nan")})
    '{"a":"\\u003c/script\\u003e","b":null}'
    """
    return _json(value).translate(_UNSAFE)


def packed(value: Any) -> str:
    """The value as JSON, compressed (raw deflate) and in base64: for DecompressionStream to open."""
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return base64.b64encode(squeeze.compress(_json(value).encode()) + squeeze.flush()).decode()


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Half a surrogate pair, which some file may have smuggled in, is nothing that UTF-8 can hold.
    return text.encode("utf-8", "replace").decode()


def finite(value: Any) -> Any:
    """The value with None for what is no number, at any depth: JSON has no NaN."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return value


class Blocks:
    """Items packed together, so many to a block: ``<name>0``, ``<name>1``, … as (name, text) when they are full."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size, self.count = name, size, 0
        self._waiting: list[Any] = []

    def add(self, item: Any) -> Iterator[tuple[str, str]]:
        """Add an item, and give the block that it fills."""
        self._waiting.append(item)
        self.count += 1
        if len(self._waiting) == self.size:
            yield from self.close()

    def close(self) -> Iterator[tuple[str, str]]:
        """The last block, if anything is left."""
        if self._waiting:
            yield f"{self.name}{(self.count - 1) // self.size}", packed(self._waiting)
            self._waiting = []
