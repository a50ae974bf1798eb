"""An engine that reads: beside tests/engines.py, for chains that are scored. Found by PYTHONPATH."""

import re

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
