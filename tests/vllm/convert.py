"""The embedded model as vLLM reads it: a GGUF file turned into a folder of safetensors and tokenizer.

    .venv-vllm/bin/python tests/vllm/convert.py SmolLM2-135M-Instruct.Q4_1.gguf <folder>

The weights are those of the file, no longer quantised (bfloat16); tokenizer and chat template too are
the file's own. The folder appears once it is whole; if it is there already, nothing is done.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path


def convert(gguf: Path, target: Path) -> None:
    """Write the folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    where, name = str(gguf.parent), gguf.name
    model = AutoModelForCausalLM.from_pretrained(where, gguf_file=name, dtype=torch.bfloat16)
    # These are plain weights by now, which the library would not believe.
    model.hf_quantizer = None
    model.config.__dict__.pop("quantization_config", None)
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=name)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        if not tokenizer.chat_template:
            sys.exit(f"{gguf}: holds no chat template")
        publish(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def publish(unfinished: Path, target: Path) -> None:
    """Give the folder its name, unless somebody else has done so in the meantime."""
    unfinished.chmod(0o755)
    try:
        unfinished.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def main() -> int:
    """Read the arguments, convert, and give the exit code."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    os.environ["HF_HUB_OFFLINE"] = "1"
    gguf, target = map(Path, sys.argv[1:])
    if not target.is_dir():
        convert(gguf, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
