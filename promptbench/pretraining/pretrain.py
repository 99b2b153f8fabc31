"""Make the demo's backbone: `python -m promptbench.pretraining.pretrain`.

Everything is seeded and counted in steps, so that the same machine with the same number of
threads makes the same weights again. A stage that has finished is kept in the cache folder, and
an interrupted run goes on behind it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from promptbench.data.cards import cards
from promptbench.data.shards import store
from promptbench.demo import captions
from promptbench.demo import model as demo_model
from promptbench.pretraining import batches as pretrain_data
from promptbench.pretraining import bpe, zero_shot
from promptbench.pretraining import stages as stages
from promptbench.pretraining.batches import CaptionEncoder
from promptbench.pretraining.stages import Corpus, Stage
from promptbench.storage import files
from promptbench.support import seeding
from promptbench.support.progress import Reporter, Task
from promptbench.tracking.terminal import Terminal

PICTURES = 120_000


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=demo_model.WEIGHTS.parent,
    show_default="the package",
    help="Folder of the weights and the token table.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=lambda: store.cache_folder() / "pretraining",
    show_default="promptbench's cache",
    help="Folder of the pictures and of finished stages.",
)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--workers",
    default=os.cpu_count() or 1,
    show_default="all processors",
    help="Processes that render.",
)
@click.option(
    "--threads",
    default=2,
    show_default=True,
    help="Threads that train; another number gives slightly other weights.",
)
@click.option(
    "--scale",
    default=1.0,
    show_default=True,
    help="Share of the pictures, steps and test images, for a trial.",
)
def main(out: Path, cache: Path, seed: int, workers: int, threads: int, scale: float) -> None:
    """Render the world, train the demo's CLIP on it and measure it."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    files.ensure_writable(out)
    table = bpe.encoded(captions.vocabulary())
    files.write_whole(out / demo_model.BPE.name, table)
    listener = Terminal()
    corpus = make_corpus(cache, seed, max(64, round(scale * PICTURES)), workers, listener)
    model = train(corpus, cache, scale, listener)
    path = out / demo_model.WEIGHTS.name
    save(model, path)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB, sha256 {sha256(path)}")
    click.echo(report(path, scale))


def make_corpus(cache: Path, seed: int, count: int, workers: int, listener: Reporter) -> Corpus:
    """The pictures, rendered unless the cache has them, and what they show."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"pictures-{seed}-{count}.npy"
    if not path.exists():
        with listener.task("rendering", count, "pictures") as task:
            chunks = pretrain_data.render_pictures(seed, count, workers)
            pretrain_data.cache_pictures(path, _counted(chunks, task), count)
    encoder = CaptionEncoder(demo_model.tokenizer())
    return Corpus(seed, np.load(path, mmap_mode="r"), pretrain_data.specs(seed, count), encoder)


def _counted(chunks: Iterable[NDArray[np.uint8]], task: Task) -> Iterator[NDArray[np.uint8]]:
    for chunk in chunks:
        task.advance(len(chunk))
        yield chunk


def train(corpus: Corpus, cache: Path, scale: float, listener: Reporter) -> Any:
    """The three stages, each taken from the cache where it has finished before."""
    vision, text, joint = (
        replace(recipe, steps=max(4, round(scale * recipe.steps)))
        for recipe in (stages.VISION, stages.TEXT, stages.JOINT)
    )
    torch.manual_seed(seeding.stream(corpus.seed, "initial weights"))
    model = demo_model.build(stages.SHALLOW_BLOCKS)
    history: list[Any] = [corpus.seed, len(corpus.shown)]

    def stage(recipe: Stage, model: Any, run: Callable[[], None]) -> None:
        history.append(recipe)
        key = hashlib.sha256(repr(history).encode()).hexdigest()[:12]
        path = cache / f"stage-{key}.safetensors"
        if path.exists():
            model.load_state_dict(safetensors.torch.load_file(path))
            return
        run()
        _write(model.state_dict(), path)

    stage(vision, model, lambda: stages.train_vision(corpus, model, vision, listener))
    stage(text, model, lambda: stages.train_text(corpus, model, text, listener))
    deep = stages.grown(model)
    stage(joint, deep, lambda: stages.train_jointly(corpus, deep, joint, listener))
    return deep


def save(model: Any, path: Path) -> None:
    """Write the weights as float16, under open_clip's parameter names."""
    model.logit_scale.data.clamp_(max=stages.HIGHEST_LOGIT_SCALE)
    _write({name: value.half() for name, value in model.state_dict().items()}, path)


def _write(state: dict[str, Tensor], path: Path) -> None:
    content = safetensors.torch.save(state)
    files.write_whole(path, content)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def report(path: Path, share: float = 1.0) -> str:
    """Zero-shot accuracies of a file of weights on all demo datasets, as a Markdown table."""
    model = demo_model.build(stages.SHALLOW_BLOCKS * stages.GROWTH)
    model.load_state_dict(
        {name: value.float() for name, value in safetensors.torch.load_file(path).items()}
    )
    encoder = CaptionEncoder(demo_model.tokenizer())
    demo = [card for card in map(cards.load, cards.names()) if card.suite == "demo"]
    return zero_shot.table(
        (card.name, zero_shot.accuracies(model.eval(), encoder, card, share))
        for card in demo
        if card.source.kind == "generated"
    )


if __name__ == "__main__":
    main()
