"""Make the small models of these tests in a folder: run by the interpreter that has sentence-transformers.

``encoder`` and ``wider`` give random vectors of 32 and 48 dimensions, each text its own. ``overlap`` is a
cross-encoder that has learnt to prefer passages with the question's words. ``labels`` tells three classes apart.
"""

import random
import sys
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

WORDS = ["bada", "bafe", "koli", "kono", "misu", "miza", "ruda", "rufe", "teli", "teno", "vosu", "voza"]
"""So few that a small model learns within seconds which are the same."""


def tokenizer(folder: Path) -> BertTokenizerFast:
    vocabulary = folder / "vocab.txt"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"abcdefghijklmnopqrstuvwxyz0123456789?"]
    vocabulary.write_text("\n".join([*pieces, *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789")]) + "\n")
    return BertTokenizerFast(str(vocabulary), model_max_length=64)


def config(words: BertTokenizerFast, size: int, labels: int = 1) -> BertConfig:
    return BertConfig(
        vocab_size=len(words),
        hidden_size=size,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * size,
        max_position_embeddings=64,
        num_labels=labels,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.1,
    )


def encoder(folder: Path, size: int) -> None:
    """Vectors of so many dimensions, by chance."""
    words = tokenizer(folder)
    BertModel(config(words, size)).save_pretrained(folder / "parts")
    words.save_pretrained(folder / "parts")
    transformer = Transformer(str(folder / "parts"))
    SentenceTransformer(modules=[transformer, Pooling(size)]).save(str(folder / "model"))


def pairs(count: int) -> tuple[list[str], list[str], torch.Tensor]:
    """Questions of a word, passages of four after a title, and whether the passage has the word."""
    asked, read, has = [], [], []
    for _ in range(count):
        found = random.sample(WORDS, 4)
        inside = random.random() < 0.5
        asked.append(random.choice(found) if inside else random.choice(sorted(set(WORDS) - set(found))))
        read.append(" ".join([f"p{random.randrange(10)}", *found]))
        has.append(float(inside))
    return asked, read, torch.tensor(has)


def overlap(folder: Path) -> None:
    """A cross-encoder that was trained until it is right nearly always, whatever the processor rounds."""
    words = tokenizer(folder)
    model = BertForSequenceClassification(config(words, 64))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses: list[float] = []
    for _ in range(3000):
        asked, read, has = pairs(64)
        logits = model(**words(asked, read, padding=True, return_tensors="pt")).logits[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, has)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if len(losses) >= 30 and sum(losses[-30:]) / 30 < 0.01:
            break
    model.save_pretrained(folder / "model")
    words.save_pretrained(folder / "model")


def labels(folder: Path) -> None:
    """A classifier, which is no ranker."""
    words = tokenizer(folder)
    BertForSequenceClassification(config(words, 32, labels=3)).save_pretrained(folder / "model")
    words.save_pretrained(folder / "model")


if __name__ == "__main__":
    torch.manual_seed(0)
    random.seed(0)
    torch.set_num_threads(1)
    makers = {"encoder": lambda f: encoder(f, 32), "wider": lambda f: encoder(f, 48), "overlap": overlap}
    for name, make in {**makers, "labels": labels}.items():
        place = Path(sys.argv[1], name)
        place.mkdir(parents=True)
        make(place)
