"""An engine that reads: beside tests/engines.py, for chains that are scored. Found by PYTHONPATH."""

import os
import re
import signal

from engines import CountingEngine
from hopeval.engines.base import Completion


class ReadingEngine(CountingEngine):
    """Finds "was born in <Town n>" in the last message and answers with that and its sentence's number."""

    async def complete(self, request):
        await super().complete(request)
        found = re.search(r"\[(\d+)\] \w+ was born in (\w+ \d+)", request.messages[-1].content)
        label, town = found.groups() if found else (1, "no idea")
        if request.schema is None:
            return Completion(f"Answer: {town}\nSentences: {label}", "stop", 10, 5)
        return Completion(f'{{"answer": "{town}", "supporting_facts": [{label}]}}', "stop", 10, 5)


class HoppingEngine(ReadingEngine):
    """Answers, and writes the next query: the maker of the clock, or the town once the maker is known.

    What the option ``odd`` has for a question comes instead of its query. With the option ``crash`` the process
    kills itself at the query that follows so many, unless the file ``mended`` is there.
    """

    queries = 0

    async def complete(self, request):
        if "query" not in (request.schema or {}).get("properties", {}):
            return await super().complete(request)
        if self.queries == self.options.get("crash") and not self.mended():
            os.kill(os.getpid(), signal.SIGKILL)
        self.queries += 1
        await CountingEngine.complete(self, request)
        passages = request.messages[-1].content
        town = re.search(r"was born in (\w+ \d+)", passages)
        maker = re.search(r"was made by (\w+)", passages)
        query = f'{{"query": "{(town or maker)[1]}"}}'
        return Completion(self.options.get("odd", {}).get(request.question_id, query), "stop", 10, 5)
