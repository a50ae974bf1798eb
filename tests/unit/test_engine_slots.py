"""A slot of llama.cpp that is out of time is no other request's until it is free."""

import asyncio
import time

import pytest

from hopeval.asking import Policy
from hopeval.engines.base import Setup
from hopeval.engines.llamacpp import LlamaCppEngine
from hopeval.journal import Journal
from hopeval.runner import Job, answer

SLOW_S = 4.0


class FakeServer:
    """Sleeps at the request "slow", and answers all others at once."""

    def __init__(self):
        self.in_flight = self.most_in_flight = 0

    def handle_chat_completions(self, body):
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        content = body["messages"][-1]["content"]
        if content == "slow":
            time.sleep(SLOW_S)
        self.in_flight -= 1
        return {
            "choices": [{"message": {"content": content}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        }


@pytest.mark.parametrize("concurrency", [1, 2])
def test_slow_requests_fail_alone(tmp_path, make_reader, make_request, concurrency):
    reader = make_reader(engine="llamacpp", model="m.gguf", concurrency=concurrency)
    engine = LlamaCppEngine(Setup(reader))
    engine._server = server = FakeServer()
    contents = ["a", *["slow"] * concurrency, "b", "c", "d", "e", "f"]
    requests = [make_request(f"q{i}", content=content) for i, content in enumerate(contents)]

    async def main():
        with Journal(tmp_path, "1-of-1") as journal:
            responses = await answer(requests, engine, journal, Job("1-of-1", "llamacpp", policy=Policy(timeout_s=2.0)))
        await engine.close()
        return responses

    responses = {response.key: response for response in asyncio.run(main())}
    found = [(responses[request.key].text, responses[request.key].error) for request in requests]
    late = ("", "no answer within 2 s (timeout_s)")
    assert found == [late if content == "slow" else (content, None) for content in contents]
    assert server.most_in_flight <= concurrency
