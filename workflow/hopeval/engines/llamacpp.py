"""llama.cpp in this process, by xllamacpp: GGUF models on CPUs."""

import asyncio
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import msgspec

from hopeval.engines.base import Completion, Engine, EngineFailed, RequestFailed, Setup
from hopeval.errors import InputError
from hopeval.records import Request


class LlamaCppEngine(Engine):
    """One model, ``concurrency`` slots (1 by default: on few cores more do not help), ``threads`` cores.

    ``options`` are llama.cpp's own parameters by name, such as ``n_batch`` or ``n_gpu_layers``. A slot keeps
    the tokens of its last request, so that a request that begins alike is not computed anew.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._threads = ThreadPoolExecutor(self.concurrency, thread_name_prefix="llamacpp")
        self._server: Any = None

    async def open(self) -> None:
        """Load the model. Raises InputError for an unknown option or an unusable model file."""
        if self.setup.model is None or not self.setup.model.is_file():
            raise InputError(f"model: no file at {self.setup.model}; name a GGUF file in the reader's model")
        # llama.cpp's threads spin while they wait, which on a shared machine costs more than it gains.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        self._server = await asyncio.get_running_loop().run_in_executor(self._threads, self._load)

    def _load(self) -> Any:
        try:
            import xllamacpp

            return xllamacpp.Server(self._parameters(xllamacpp.CommonParams()))
        except ImportError as error:
            raise InputError(f"engine: llamacpp cannot be loaded: {error}; pip install xllamacpp") from None
        except (RuntimeError, ValueError, MemoryError) as error:
            raise InputError(
                f"model: llama.cpp cannot load {self.setup.model}: {_reason(error)}; "
                "is it a whole GGUF file, and is there enough memory?"
            ) from None

    def _parameters(self, parameters: Any) -> Any:
        parameters.model.path = str(self.setup.model)
        parameters.n_parallel = self.concurrency
        parameters.n_ctx = self.settings.context_window * self.concurrency
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = self.setup.threads
        # xllamacpp serves HTTP on a local port as well. Nobody is told its key.
        parameters.api_keys = [secrets.token_hex(16)]
        parameters.warmup = False
        for name, value in self.settings.options.items():
            if not hasattr(parameters, name):
                raise InputError(f"options.{name}: llama.cpp has no such parameter; see its CommonParams")
            try:
                setattr(parameters, name, value)
            except (TypeError, ValueError, OverflowError, AttributeError) as error:
                raise InputError(f"options.{name}: found {value!r}: {error}") from None
        return parameters

    async def complete(self, request: Request) -> Completion:
        """The model's answer, held to the request's schema by a grammar."""
        answer = asyncio.get_running_loop().run_in_executor(self._threads, self._complete, request)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            # Out of time, but llama.cpp goes on: until it ends, its slot is no other request's.
            await asyncio.wait([answer])
            raise

    def _complete(self, request: Request) -> Completion:
        body = {
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            **self.settings.sampling.model_dump(exclude_none=True),
            "cache_prompt": True,
        }
        if request.schema is not None:
            body["grammar"] = _grammar(msgspec.json.encode(request.schema))
        try:
            reply = self._server.handle_chat_completions(body)
        except RuntimeError as error:
            raise EngineFailed(f"llama.cpp failed: {error}") from None
        if "error" in reply:
            raise RequestFailed(str(reply["error"].get("message", reply["error"])))
        choice, usage = reply["choices"][0], reply["usage"]
        return Completion(
            choice["message"].get("content") or "",
            choice["finish_reason"],
            usage["prompt_tokens"],
            usage["completion_tokens"],
            usage.get("prompt_tokens_details", {}).get("cached_tokens", 0),
            choice["message"].get("reasoning_content") or "",
        )

    async def close(self) -> None:
        """Unload the model."""
        self._server = None
        self._threads.shutdown(wait=False, cancel_futures=True)


def _reason(error: Exception) -> str:
    """The first line that llama.cpp marks as an error; the rest stands in the log."""
    marked = [line.partition(" E ")[2] for line in str(error).splitlines() if " E " in line]
    return marked[0].strip() if marked else str(error)


@lru_cache(maxsize=64)
def _grammar(schema: bytes) -> str:
    """The grammar of a JSON schema with one way to space its tokens: small models waste theirs on blanks."""
    import xllamacpp

    spacing = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}
    return str(xllamacpp.json_schema_to_grammar(msgspec.json.decode(schema) | {"x-guidance": spacing}))
