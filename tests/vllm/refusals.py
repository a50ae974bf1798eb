"""Opens an engine for each reader's section on standard input (a JSON list) and prints what is said: a JSON list.

All of them are to be refused before anything is loaded, which is why one process can try them one by one.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from hopeval.config import parse_reader
from hopeval.engines.base import Setup
from hopeval.engines.vllm import VLLMEngine
from hopeval.errors import InputError


async def said(settings: dict[str, Any]) -> str:
    engine = VLLMEngine(Setup(parse_reader(settings), Path(settings["model"])))
    # Who gets here has passed all checks, and would load.
    engine._start = lambda *_: print("not refused", file=sys.stderr)  # type: ignore[method-assign]
    try:
        await engine.open()
    except InputError as error:
        return str(error)
    finally:
        await engine.close()
    return ""


if __name__ == "__main__":
    found = [asyncio.run(said(settings)) for settings in json.load(sys.stdin)]
    print(json.dumps(found))
