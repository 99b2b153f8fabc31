"""promptbench: one benchmark suite for prompt-learning methods of vision-language models.

`promptbench.run(...)` is the whole interface for the main job; the command line makes the same
requests of its options and executes them likewise. Everything heavy is imported when it is used, so
that `import promptbench` stays instant.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench.support.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from promptbench.records import Record
    from promptbench.using.predictor import Predictor

__all__ = ["__version__", "load", "results", "run", "tune"]

_CHECKOUT = Path(__file__).resolve().parent.parent
if (_CHECKOUT / "pyproject.toml").is_file():
    # In a checkout the plugin folders (methods/, protocols/, data_cards/, leaderboard/) lie beside
    # this package; the wheel has them inside. Extending __path__ gives both the same import names.
    __path__.append(str(_CHECKOUT))


def run(method: str | Sequence[str], protocol: str | Sequence[str], **options: Any) -> list[Record]:
    """Run methods under protocols and return one record per cell.

    Options are those of `promptbench run`; None is the default. Where several names, numbers, paths
    or bindings may stand, they are given in a list or as text with commas, and one is taken as one.

    Args:
        method: names; "all" stands for every method that fits the protocol.
        protocol: names, or "all".

    What is asked for, which determines the numbers (`promptbench.planning.request.Request`):
        suite: demo or clip.
        data: the data root with prepared shards.
        backbone, weights: an architecture of open_clip; a tag of its registry or a path.
        datasets: only these.
        shots, seeds: numbers; a training for each.
        preset: paper or unified settings.
        inference: unified, decoupled or auto.
        select: which of a training's states is scored: last, validation, or both.
        gin, set: files of settings, and bindings such as "Recipe.epochs=5".
        sweep: settings with several values, "Recipe.lr=1e-3,3e-3"; all combinations are computed.
        class_texts: files of sentences per class; a path, several, or {dataset: path}.
        limit: score only the first N images of each target.
        baseline: whether the zero-shot row is added.

    How this machine does it (`promptbench.planning.machine.Machine`):
        device, precision: auto, cpu, cuda or cuda:N; auto, fp32, bf16 or fp16.
        compile, graphs, class_chunk, workers, augment: what changes time and memory, not numbers.
        jobs, per_gpu, on: how many processes compute cells, and the executor that sees to it.
        fill_cores: whether there are more of them where the model leaves cores idle.
        machine, address: the profile of a cluster, and where the executor finds its engine.
        out: the folder of records.
        wandb, track: whether to log to Weights & Biases; further trackers.
        quiet: whether nothing is shown.
        retry_failed: whether cells that failed before are tried again.
        checkpoint_minutes: between checkpoints within an epoch.
        plugin: files of plugins that are not installed.

    Raises:
        promptbench.errors.UserError: what the caller can fix, in one sentence.
    """
    from promptbench.planning import edge, given
    from promptbench.planning.grids import Grid
    from promptbench.running.session import execute

    methods, protocols = given.names("method", method), given.names("protocol", protocol)
    requests, machine = edge.asked(Grid(tuple(methods), tuple(protocols)), options)
    return execute(requests, machine)


def tune(
    method: str | Sequence[str], protocol: str | Sequence[str], trials: int = 20, **options: Any
) -> list[Record]:
    """Choose settings of methods by validation accuracy, per source, and run what is chosen.

    Options are those of `run`, but for `preset`, `select` and `sweep`.

    Args:
        method: names; "all" stands for every method that fits the protocol and can be tuned.
        protocol: names, or "all".
        trials: the budget: how many settings are tried of each method on each source.

    Returns:
        The records of the chosen settings, whose `tuning` has all trials, behind those of the
        zero-shot rows.

    Raises:
        promptbench.errors.UserError: what the caller can fix, in one sentence.
    """
    from promptbench.errors import UserError
    from promptbench.planning import edge, given
    from promptbench.planning.grids import Grid
    from promptbench.tuning import searches
    from promptbench.tuning.tune import tune as carried_out

    for name in ("preset", "select", "sweep"):
        if options.get(name):
            raise UserError(f"{name} is what a search decides; leave it out")
    methods, protocols = given.names("method", method), given.names("protocol", protocol)
    requests, machine = edge.asked(Grid(tuple(methods), tuple(protocols)), options)
    budget = given.whole("trials", trials)
    return carried_out(searches(requests, budget), requests, machine).records


def load(
    run: str | os.PathLike[str],
    *,
    weights: str | None = None,
    class_texts: Sequence[str] = (),
    device: str = "auto",
    precision: str | None = None,
    workers: int | None = None,
    plugin: Sequence[str | Path] = (),
) -> Predictor:
    """Load what a finished run has learned, to classify images of one's own.

    The data that it was trained on need not be here; its backbone's weights must be.

    Args:
        run: a record, the folder of a cell, a folder with one cell below it, or `hf:user/name` or
            `hf:user/name@revision`, where `promptbench push` has put one.
        weights: where the weights lie here, if not where the record says.
        class_texts: files of sentences per class, for methods that use them.
        device: auto, cpu, cuda or cuda:N.
        precision: fp32, bf16 or fp16; None is that of the record.
        workers: threads that decode images ahead; None: as many as cores, at most 16.
        plugin: files of plugins that are not installed.

    Returns:
        An object with `predict(images, classes)`, `logits`, `features` and `text_features`.

    Raises:
        promptbench.errors.UserError: what the caller can fix, in one sentence.
    """
    from promptbench.core import registry
    from promptbench.planning import given
    from promptbench.using import predictor

    registry.add_files(given.paths("plugin", plugin))
    return predictor.load(
        given.text("run", run),
        weights=None if weights is None else given.text("weights", weights),
        class_texts=given.files_of_datasets("class_texts", class_texts),
        device=given.name("device", device),
        precision=None if precision is None else given.name("precision", precision),
        workers=None if workers is None else given.whole("workers", workers),
    )


def results(
    places: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = "runs",
    *,
    metrics: str | Sequence[str] | None = None,
    suite: str | Sequence[str] = (),
    protocol: str | Sequence[str] = (),
    method: str | Sequence[str] = (),
    dataset: str | Sequence[str] = (),
    source: str | Sequence[str] = (),
    inference: str | Sequence[str] = (),
    selection: str | Sequence[str] = (),
    shots: int | str | Sequence[int] = (),
    seed: int | str | Sequence[int] = (),
    plugin: Sequence[str | Path] = (),
) -> pd.DataFrame:
    """Return the records under folders as a pandas DataFrame, one row per cell and target.

    docs/results.md says what each column holds: facts of the cell and the target, a column per
    metric in its unit (missing where a record has no value), and one for each setting that differs
    between records of a method. A cell that lies there twice counts once, the newest. Records that
    cannot be read, whose counts are not those of their predictions, or whose predictions are
    damaged where a metric needs them, are left out with a warning.
    Needs the extra `dataframe`.

    Args:
        places: folders with records, or records.
        metrics: their names; None: all that are known.
        suite, protocol, method, source, inference, selection, shots, seed: only records of these.
        dataset: only targets of these datasets.
        plugin: files of plugins that are not installed, such as metrics.

    Raises:
        promptbench.errors.UserError: what the caller can fix, in one sentence.
    """
    from promptbench.core import registry
    from promptbench.planning import given
    from promptbench.report import frame

    registry.add_files(given.paths("plugin", plugin))
    names = {"suite": suite, "protocol": protocol, "method": method, "dataset": dataset}
    names |= {"source": source, "inference": inference, "selection": selection}
    return frame.results(
        [folder.expanduser() for folder in given.paths("places", places)],
        None if metrics is None else given.names("metrics", metrics),
        {
            **{name: given.names(name, value) for name, value in names.items()},
            "shots": given.numbers("shots", shots),
            "seed": given.numbers("seed", seed),
        },
    )
