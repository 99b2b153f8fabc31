"""The model card of a cell: README.md with front matter, of nothing but its record and data card.

Numbers are the record's counts and what metrics compute of its predictions. What nobody has stated,
such as a licence, is said to be not stated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from promptbench.catalogue import citing
from promptbench.core.metric import Metric
from promptbench.core.registry import BUILT_IN
from promptbench.data.cards import cards
from promptbench.data.cards.cards import DataCard
from promptbench.planning import standing
from promptbench.records import PARAMETERS, Record, scores
from promptbench.sharing.contents import CARD, Contents
from promptbench.sharing.places import FolderPlace, HubPlace
from promptbench.support.markdown import escaped
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable

_TASK = "zero-shot-image-classification"
_NAMES = 100  # class names that are listed
_NOT_STATED = ("", "unknown", "no licence source found")

Scored = list[tuple[Metric, dict[str, float]]]


def model_card(
    contents: Contents, folder: Path, place: HubPlace | FolderPlace, licence: str | None
) -> str:
    """Write the README.md of a cell.

    Args:
        folder: where its predictions lie.
        place: where it goes, which the commands name.
        licence: of what was learned, as the hub calls it; None: none is stated.
    """
    record = contents.record
    scored = _scored(record, folder)
    card = _card_of(record)
    parts = [
        f"---\n{_front_matter(record, scored, licence)}---\n",
        _heading(record, card),
        "## Results\n\n" + _results(record, scored),
        "## Use\n\n" + _usage(record, place, CARD in contents.files),
        "## How it was computed\n\n" + _facts(record),
        "## Class names\n\n" + _classes(record, card),
        "## Licences\n\n" + _licences(record, card, licence),
        "## Citation\n\n```bibtex\n" + citing.bibliography([], [record]).text().strip() + "\n```",
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _scored(record: Record, folder: Path) -> Scored:
    """Every metric that has a value, with its values by target (or open label space)."""
    found = []
    places = scores.folders_of([(record, folder)])
    for scorer in scores.together(scores.registered(), places):
        values = {key: value for (_, _, key), value in scorer.score(record).values.items()}
        if values:
            found.append((scorer.metric, values))
    return found


def _card_of(record: Record) -> DataCard | None:
    """The card of the source, if the one here is the record's."""
    name = record.source.dataset
    if name not in cards.names() or name not in record.data:
        return None
    card = cards.load(name)
    return card if card.digest == record.data[name].card_sha256 else None


def _front_matter(record: Record, scored: Scored, licence: str | None) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    targets = {target.key: target for target in record.targets}
    results = [
        EvalResult(
            task_type=_TASK,
            dataset_type=key.partition("/")[0],
            dataset_name=_dataset_title(key.partition("/")[0], record),
            dataset_config=key.partition("/")[2] or None,
            dataset_split=targets[key].split if key in targets else None,
            metric_type=metric.name,
            metric_name=_heading_of(metric),
            metric_value=round(value, 4),
        )
        for metric, values in scored
        for key, value in values.items()
    ]
    named = (record.method.name, record.protocol.name, record.suite, record.backbone.name)
    facts: dict[str, Any] = {
        "library_name": "promptbench",
        "pipeline_tag": _TASK,
        "tags": ["promptbench", "clip", "prompt-learning", *map(printable, named)],
        "metrics": [metric.name for metric, _ in scored],
    }
    if licence is not None:
        facts["license"] = printable(licence)
    title = printable(f"{record.method.title} on {record.source.dataset}")
    text: str = ModelCardData(model_name=title, eval_results=results, **facts).to_yaml()
    return text.rstrip("\n") + "\n"


def _heading(record: Record, card: DataCard | None) -> str:
    own, source = record.method, record.source
    where = card.title if card else source.dataset
    lines = [
        f"# {_said(own.title)} on {_said(where)}",
        f"What {_said(own.title)} ({_said(own.paper)}; {_said(own.paradigm)}) has learned from "
        f"{counted(source.shots, 'image')} of each class ({_said(source.classes)}) of "
        f"{_said(where)}, on the frozen {_said(record.backbone.name)} "
        f"({_said(record.backbone.weights)}), "
        f"seed {record.seed}. Written by [promptbench](#use) from the record of the cell "
        f"`{record.cell_id[:10]}`.",
    ]
    banner = standing.of_records([record]).banner
    if banner:
        lines.append(f"> {_said(banner)}")
    return "\n\n".join(lines)


def _results(record: Record, scored: Scored) -> str:
    """A table of all metrics by target, and what is to be known before they are read."""
    keys = list(dict.fromkeys(key for _, values in scored for key in values))
    images = {target.key: sum(target.total) for target in record.targets}
    shifts = {target.key: target.shift for target in record.targets}
    rows = [
        ["test set", "shift", "images", *(_heading_of(metric) for metric, _ in scored)],
        ["---", "---", "---:", *("---:" for _ in scored)],
    ]
    for key in keys:
        values = [m.text(v[key]) if key in v else "" for m, v in scored]
        rows.append([_said(key), shifts.get(key, ""), str(images.get(key, "")), *values])
    notes = [f"Protocol `{record.protocol.name}` version {record.protocol.version}, one seed."]
    if record.inference == "decoupled":
        notes.append(
            "These numbers are of the paper's decoupled rule, which is told how a test set differs "
            "from what was learned. Own images are classified by the unified rule."
        )
    if record.limit is not None:
        notes.append(f"Only the first {counted(record.limit, 'image')} of each test set count.")
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n{' '.join(notes)}"


def _usage(record: Record, place: HubPlace | FolderPlace, with_card: bool) -> str:
    # The name of somebody's folder is not of this cell: the card is read wherever the folder lies.
    run = str(place) if isinstance(place, HubPlace) else "."
    own = record.method
    plugin, argument = "", ""
    lines = []
    if own.provider != BUILT_IN:
        plugin, argument = " --plugin METHOD.py", ', plugin="METHOD.py"'
        code = f" (SHA-256 of its source `{own.source_sha256}`)" if own.source_sha256 else ""
        lines.append(
            f"The method `{own.name}` is a plugin of {_said(own.provider)}{code}, which is not "
            "part of this repository: get METHOD.py from its authors, and read it before it runs."
        )
    for name, info in record.data.items():
        if info.class_texts is not None and name == record.source.dataset:
            plugin += f" --class-texts {info.class_texts}"
            argument += f', class_texts=["{info.class_texts}"]'
            lines.append(
                f"It needs the sentences about classes {_said(info.class_texts)} (SHA-256 "
                f"`{info.class_texts_sha256}`)."
            )
    if not with_card:
        lines.append(f"It needs the data card of {_said(record.source.dataset)}.")
    lines.append(
        f"The weights of the backbone (SHA-256 `{record.backbone.sha256}`) are not part of this "
        "repository; `--weights` says where they lie, if promptbench does not find them."
    )
    shell = "\n".join(
        (
            f"promptbench predict {run} IMAGES... --top 5{plugin}",
            f'promptbench predict {run} IMAGES... --classes "cat,dog"{plugin}',
        )
    )
    python = (
        "import promptbench\n\n"
        f'model = promptbench.load("{run}"{argument})\n'
        'answers = model.predict("photos")  # or model.predict("photos", ["cat", "dog"])\n'
    )
    return f"```bash\n{shell}\n```\n\n```python\n{python}```\n\n" + "\n\n".join(lines)


def _facts(record: Record) -> str:
    training, environment = record.training, record.environment
    facts = {
        "suite": record.suite,
        "preset": record.preset,
        "changed settings": ", ".join(record.overrides) or "none",
        "inference": record.inference,
        "selection": record.protocol.selection,
        "learned numbers": f"{record.method.learned_parameters:,}",
        "also learns from": record.method.extra_data or "not stated",
        "epochs": str(training.epochs),
        "steps": str(training.steps),
        "precision": environment.precision,
        "device": environment.device,
        "promptbench": environment.promptbench,
        "torch": environment.packages.get("torch", "not stated"),
        "computed": record.created,
        f"SHA-256 of {PARAMETERS}": training.parameters_sha256 or "nothing is learned",
    }
    rows = [f"| {name} | {_said(value)} |" for name, value in facts.items()]
    return "\n".join(["| fact | of the record |", "|---|---|", *rows])


def _classes(record: Record, card: DataCard | None) -> str:
    if card is None:
        return "Not known here: the data card of the record was not at hand."
    names = [card.classes[label] for label in record.leg.source.labels_in(len(card.classes))]
    shown = ", ".join(map(_said, names[:_NAMES]))
    more = f", ... ({len(names)} in all)" if len(names) > _NAMES else ""
    return f"Learned with the template `{card.template}`: {shown}{more}."


def _licences(record: Record, card: DataCard | None, licence: str | None) -> str:
    stated = _said(licence) if licence else "not stated by whoever has pushed it"
    lines = [f"- what was learned: {stated}"]
    if card is not None and card.licence not in _NOT_STATED:
        origin = card.licence_source
        stated_by = "" if origin in _NOT_STATED else f" ({_said(origin)})"
        lines.append(f"- {_said(card.title)}: {_said(card.licence)}{stated_by}")
    else:
        lines.append(f"- {_said(record.source.dataset)}: not known")
    weights = f"{record.backbone.name}, {record.backbone.weights}"
    lines.append(f"- the backbone ({_said(weights)}): that of its owners; it is not part of this")
    return "\n".join(lines)


def _dataset_title(name: str, record: Record) -> str:
    known = name in cards.names() and name in record.data
    card = cards.load(name) if known else None
    same = card is not None and card.digest == record.data[name].card_sha256
    return printable(card.title) if card is not None and same else name


def _heading_of(metric: Metric) -> str:
    return printable(metric.title) + (f" ({metric.unit})" if metric.unit else "")


def _said(text: str) -> str:
    return escaped(printable(text))
