"""A vLLM reader's settings as arguments of vLLM's engine, checked before anything is loaded.

Nothing here imports vLLM: what it knows comes as ``known``, the names and types of its own arguments.
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from hopeval.errors import InputError

MEMORY = 0.92
"""The part of a device's memory that vLLM takes where options.gpu_memory_utilization says nothing else."""
TEMPLATE_OPTION = "default_chat_template_kwargs"
"""What ``vllm serve`` hands to each rendering of the chat template: no argument of the engine, but as good as one."""

_STRUCTURED = "structured_outputs_config"
_OURS = {
    "model": "the reader's model",
    "revision": "the reader's model: {repo, revision}",
    "tensor_parallel_size": "the reader's tensor_parallel",
    "pipeline_parallel_size": "the reader's pipeline_parallel",
    "distributed_executor_backend": "hopeval: a job's engine is on one host",
}
_SEVERAL_ENGINES = re.compile(r"data_parallel_|nnodes$|node_rank$|master_(addr|port)$")
_OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemory|[Mm]emory.{0,200}less than|KV cache is needed|[Nn]o available memory"
    r"|bad_alloc|(can't|Cannot) allocate memory|MemoryError",
    re.DOTALL,
)


def engine_arguments(settings: Any, model: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of vLLM's engine for a reader's section. Raises InputError for what cannot be."""
    tensor, pipeline = parallel_sizes(settings)
    own = {"model": model, "tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline}
    options = {name: value for name, value in settings.options.items() if name != TEMPLATE_OPTION}
    for name, value in options.items():
        _check_name(name, value, own, known)
    if isinstance(options.get(_STRUCTURED, {}), Mapping):
        # The backend that takes the spacing of JSON from the schema, as llama.cpp's grammar has it.
        options[_STRUCTURED] = {"backend": "guidance", **options.get(_STRUCTURED, {})}
    checked = {name: _checked(name, value, known[name]) for name, value in options.items()}
    defaults = {
        "max_model_len": settings.context_window,
        "disable_log_stats": True,  # the job's own log has the rates
        "use_tqdm_on_load": False,
    }
    return defaults | checked | own


def _check_name(name: str, value: Any, own: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    if _SEVERAL_ENGINES.match(name) and name in known:
        raise InputError(f"options.{name}: a job has one engine on one host; take more shards instead")
    if name in _OURS and (name not in own or own[name] != value):
        # Without the value, which may be a secret.
        raise InputError(f"options.{name}: is not set here, but by {_OURS[name]}; take it out of options")
    if name not in known:
        close = difflib.get_close_matches(name, [*known, TEMPLATE_OPTION], n=1)
        meant = f" (did you mean {close[0]!r}?)" if close else ""
        raise InputError(f"options.{name}: vLLM has no such argument{meant}; see its AsyncEngineArgs")


def _checked(name: str, value: Any, kind: Any) -> Any:
    """The value, if it is of the kind that vLLM wants; a section of its own as vLLM's class for it.

    What is neither plain nor such a section is left to vLLM.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        if _is_plain(kind):
            return TypeAdapter(kind).validate_python(value, strict=True)
        if isinstance(value, Mapping) and isinstance(kind, type) and is_dataclass(kind):
            return kind(**value)
    except ValidationError as error:
        raise InputError(f"options.{name}: found {value!r}: {in_one_line(error)}") from None
    except TypeError as error:
        raise InputError(f"options.{name}: found {value!r}: {error}") from None
    return value


def in_one_line(error: Exception) -> str:
    """An exception's message without line breaks; of pydantic's, which repeat the input, only what is wrong."""
    problems = getattr(error, "errors", None)
    words = str(error)
    if callable(problems):
        words = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}".removeprefix(": ") for p in problems())
    return " ".join(words.split()) or type(error).__name__


def _is_plain(kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType, list):
        return all(map(_is_plain, get_args(kind)))
    return get_origin(kind) is Literal or kind in (bool, int, float, str, NoneType)


def parallel_sizes(settings: Any) -> tuple[int, int]:
    """Over how many GPUs each layer is split, and into how many groups the layers are.

    Raises InputError when their product is not the number of GPUs of the job.
    """
    tensor, pipeline, gpus = settings.tensor_parallel, settings.pipeline_parallel, max(settings.gpus, 1)
    if tensor is None:
        tensor = max(gpus // (pipeline or 1), 1)
    if pipeline is None:
        pipeline = max(gpus // tensor, 1)
    if tensor * pipeline != gpus:
        raise InputError(
            f"tensor_parallel: {tensor} × pipeline_parallel {pipeline} are {tensor * pipeline} GPUs, "
            f"but gpus is {settings.gpus}; make them agree"
        )
    return tensor, pipeline


def memory_fraction(settings: Any, threads: int, on_cpu: bool) -> float:
    """The part of the device's memory that is this job's.

    A GPU's is divided by ``share``. Of the machine's, where vLLM runs on the CPU, a job takes as much as it
    takes of the cores, unless the reader says otherwise: nobody else tells how many jobs there are.
    """
    asked = float(settings.options.get("gpu_memory_utilization", MEMORY))
    if not on_cpu:
        return asked / int(settings.share)
    if "gpu_memory_utilization" in settings.options:
        return asked
    return asked * min(threads / len(os.sched_getaffinity(0)), 1.0)


def is_out_of_memory(reason: str) -> bool:
    """Whether vLLM, PyTorch or the system said that memory was wanting.

    >>> is_out_of_memory("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1.50 GiB free.")
    True
    >>> is_out_of_memory("No module named 'vllm'")
    False
    """
    return _OUT_OF_MEMORY.search(reason) is not None


def memory_advice(settings: Any, arguments: Mapping[str, Any]) -> str:
    """What was asked for, and which keys to lower; what was free stands in vLLM's own words before it."""
    fraction = arguments["gpu_memory_utilization"]
    keys = ["options.gpu_memory_utilization (raise it where vLLM wants more room for its cache)"]
    keys += ["context_window" if "max_model_len" not in settings.options else "options.max_model_len"]
    keys += ["options.max_num_seqs", *(["share"] if settings.share > 1 else [])]
    shared = f" (1/{settings.share} of {fraction * settings.share:g}, share)" if settings.share > 1 else ""
    return (
        f"asked for: gpu_memory_utilization {fraction:.4g}{shared}, max_model_len {arguments['max_model_len']}, "
        f"max_num_seqs {arguments.get('max_num_seqs') or 'as vLLM chooses'}; lower {', '.join(keys[:-1])} or {keys[-1]}"
    )
