"""A workspace view and a report for Weights & Biases, made of the names that runs are logged under.

wandb-workspaces imports slowly and may be absent: it is imported when it is used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from promptbench.errors import UserError
from promptbench.storage.files import write_whole

TITLE = "promptbench"


def workspace(entity: str, project: str) -> Any:
    """The saved view: HM per method and dataset, base against new, training curves, norms.

    Raises:
        UserError: wandb-workspaces is not installed.
    """
    ws, _ = _packages()
    sections = [
        ws.Section(name=name, panels=panels, is_open=True) for name, panels in _panels().items()
    ]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=TITLE,
        sections=sections,
        runset_settings=ws.RunsetSettings(groupby=[ws.Config("method"), ws.Config("source")]),
    )


def dump(made: Any, path: Path) -> None:
    """Write a workspace as JSON; needs no network."""
    view = json.loads(made._to_model().model_dump_json(by_alias=True, exclude_none=True))
    text = json.dumps(view, indent=1) + "\n"
    write_whole(path, text.encode())


def save(made: Any) -> str:
    """Save a workspace at the service and return its address.

    Raises:
        UserError: not logged in, or the service refuses.
    """
    try:
        made.save()
    except Exception as error:  # the client raises its own, requests' and plain errors
        raise _refused("the workspace", error) from error
    return str(made.url)


def report(entity: str, project: str) -> str:
    """Save a report with the same panels and return its address.

    Raises:
        UserError: as `save`.
    """
    _, wr = _packages()
    blocks = []
    for name, panels in _panels().items():
        runset = wr.Runset(entity=entity, project=project, groupby=["config.method"])
        blocks += [wr.H2(text=name), wr.PanelGrid(runsets=[runset], panels=panels)]
    try:
        made = wr.Report(entity=entity, project=project, title=TITLE, blocks=blocks)
        made.save()
    except Exception as error:  # as in `save`
        raise _refused("the report", error) from error
    return str(made.url)


def _refused(what: str, error: Exception) -> UserError:
    return UserError(
        f"Weights & Biases did not take {what} ({type(error).__name__}: {error}); "
        "log in with `wandb login`, or write the workspace to a file with --dump"
    )


def _packages() -> tuple[Any, Any]:
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise UserError(
            "dashboards need the package wandb-workspaces: "
            "pip install 'promptbench-vlm[wandb-workspaces]'"
        ) from error
    return ws, wr


def _panels() -> dict[str, list[Any]]:
    """Sections with their panels, by the names of `wandb_facts`."""
    _, wr = _packages()
    method, source = wr.Config("method"), wr.Config("source")
    score = {name: wr.SummaryMetric(f"score/{name}") for name in ("base", "new", "HM")}
    return {
        "Harmonic mean": [
            wr.BarPlot(title="HM by method", metrics=["score/HM"], groupby=method),
            wr.BarPlot(title="HM by dataset", metrics=["score/HM"], groupby=source),
            wr.ParallelCoordinatesPlot(
                title="HM by method and dataset",
                columns=[
                    wr.ParallelCoordinatesPlotColumn(metric=metric)
                    for metric in (method, source, score["base"], score["new"], score["HM"])
                ],
            ),
        ],
        "Base against new": [
            wr.ScatterPlot(title="base against new", x=score["base"], y=score["new"]),
            wr.ScatterPlot(
                title="HM against learned parameters",
                x=wr.SummaryMetric("learned_parameters"),
                y=score["HM"],
                log_x=True,
            ),
        ],
        "Training": [
            wr.LinePlot(title="loss terms", metric_regex="loss/.*"),
            wr.LinePlot(title="total loss", y=["loss/total"]),
            wr.LinePlot(title="learning rate", y=["lr"]),
        ],
        "Norms": [
            wr.LinePlot(title="prompt / CLS norm per block", metric_regex="norms/ratio/.*"),
            wr.LinePlot(title="prompt norm per block", metric_regex="norms/prompt/.*"),
            wr.LinePlot(title="CLS norm per block", metric_regex="norms/cls/.*"),
            wr.LinePlot(title="norm ratios (loss terms)", metric_regex="loss/.*norm.*"),
            wr.BarPlot(title="token norm gap", metrics=["loss/token_norm"], groupby=method),
        ],
    }
