"""Models that turn texts into vectors, and pairs of texts into scores, by sentence-transformers.

Reimers and Gurevych 2019. A model is a local folder: nothing is fetched here.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopeval.errors import HopevalError, InputError
from hopeval.records import Passage

if TYPE_CHECKING:
    import numpy as np

_EXTRA = "pip install '.[dense]' in hopeval's checkout, or name an interpreter that has it in the key 'python'"


class Encoder:
    """Vectors of texts: two models in one, for questions and for passages, where the model makes a difference."""

    def __init__(self, settings: Any) -> None:
        """Load the model of a dense retriever's section. Raises InputError when it cannot be loaded."""
        self._settings = settings
        self._model = _loaded("SentenceTransformer", settings)
        if settings.max_length is not None:
            self._model.max_seq_length = settings.max_length

    @cached_property
    def dimensions(self) -> int:
        """The number of dimensions of its vectors, as a text has them."""
        return int(self.passages([Passage(id="", title="", sentences=["a"])]).shape[1])

    def questions(self, texts: Iterable[str]) -> "np.ndarray":
        """Vectors of questions, float32 [texts, dimensions]. Raises HopevalError when the model gives no numbers."""
        return self._vectors(self._model.encode_query, list(texts), self._settings.query_prefix)

    def passages(self, passages: Iterable[Passage]) -> "np.ndarray":
        """The same of passages. Texts of like length go through the model together, to pad as little as can be."""
        texts = [passage_text(passage, self._settings.title) for passage in passages]
        return self._vectors(self._model.encode_document, texts, self._settings.passage_prefix)

    def _vectors(self, encode: Callable[..., Any], texts: list[str], prefix: str | None) -> "np.ndarray":
        import numpy as np

        found = encode(
            texts,
            prompt=prefix,
            batch_size=self._settings.batch_size,
            normalize_embeddings=self._settings.normalize,
            show_progress_bar=False,
        )
        vectors: np.ndarray = np.ascontiguousarray(found, dtype=np.float32)
        if not np.isfinite(vectors).all():
            raise HopevalError(f"{self._settings.model}: gives no numbers (NaN) for some texts; use a wider dtype")
        return vectors


class Scorer:
    """How well passages answer a question, by a cross-encoder: a number for each pair, higher is better."""

    def __init__(self, settings: Any) -> None:
        """Load the model of a rerank section. Raises InputError when it cannot be loaded, or gives no single score."""
        self._settings = settings
        self._model = _loaded("CrossEncoder", settings, max_length=settings.max_length)
        if self._model.num_labels != 1:
            raise InputError(
                f"{settings.model}: gives {self._model.num_labels} numbers for a pair, and ranking needs one; "
                "name a cross-encoder for ranking"
            )

    def scores(self, pairs: Sequence[tuple[str, Passage]]) -> list[float]:
        """The model's raw scores of a question's text with a passage. Raises HopevalError when one is no number."""
        import numpy as np
        from torch.nn import Identity

        if not pairs:
            return []
        # Not between 0 and 1: there the best would all be a rounded 1.
        found = self._model.predict(
            [(question, passage_text(passage)) for question, passage in pairs],
            batch_size=self._settings.batch_size,
            activation_fn=Identity(),
            show_progress_bar=False,
        )
        if not np.isfinite(found).all():
            raise HopevalError(f"{self._settings.model}: gives no numbers (NaN) for some pairs; use a wider dtype")
        return [float(score) for score in found]


def passage_text(passage: Passage, title: bool = True) -> str:
    """What a model reads of a passage: title and text, or the text alone."""
    return f"{passage.title} {passage.text}" if title else passage.text


def model_folder(settings: Any) -> str:
    """The folder of a section's model. Raises InputError when it is none on this machine."""
    model = settings.model
    if not isinstance(model, str):
        raise InputError(
            f"{model.repo}@{model.revision}: fetch it first (hopeval fetch --repo {model.repo} "
            f"--revision {model.revision} --output FOLDER), and name the folder as the model"
        )
    if not any(Path(model, name).is_file() for name in ("modules.json", "config.json")):
        raise InputError(f"{model}: no model of sentence-transformers here; correct the path")
    return model


def _loaded(kind: str, settings: Any, **more: Any) -> Any:
    folder = model_folder(settings)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # else the network is asked whether there is something newer
    try:
        import sentence_transformers
        from transformers.utils import logging
    except ImportError as error:
        raise InputError(f"{settings.kind} needs sentence-transformers ({error}): {_EXTRA}") from None
    logging.disable_progress_bar()  # of a second's work
    device = "cuda" if settings.gpus else "cpu"
    options = {"device": device, "local_files_only": True, **more, **settings.options}
    try:
        model = getattr(sentence_transformers, kind)(folder, **options)
    except Exception as error:  # depends on what the folder lacks
        raise InputError(
            f"{folder}: cannot be loaded as a {kind}: {type(error).__name__}: {error}; check model and options"
        ) from None
    _check_length(model, settings)
    return model


def _check_length(model: Any, settings: Any) -> None:
    most = _positions(model)
    if settings.max_length is not None and most is not None and settings.max_length > most:
        raise InputError(
            f"max_length: found {settings.max_length}, but {settings.model} has positions for {most} tokens; "
            f"set it to {most} at most"
        )


def _positions(model: Any) -> int | None:
    """Tokens of a text that the model can tell the places of; None where that has no end."""
    for name, part in model.named_modules():
        if name.endswith("position_embeddings") and hasattr(part, "num_embeddings"):
            # RoBERTa and its kin count from behind the padding's own.
            return int(part.num_embeddings) - (0 if part.padding_idx is None else part.padding_idx + 1)
    places = (getattr(getattr(part, "config", None), "max_position_embeddings", None) for part in model.modules())
    return next((found for found in places if isinstance(found, int)), None)
