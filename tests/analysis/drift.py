"""How far tuned features move from the frozen ones.

An analysis as somebody else would write it: one file, no edit of the project.
"""

from promptbench.api import Analysis, average, figures, select

PROMPTBENCH_API = 1


class Drift(Analysis):
    title = "Drift of image features"
    lacking = "no image features are changed"
    columns = {  # noqa: RUF012
        "base": lambda rows: average(select(rows, target="base", quantity="drift")),
        "new": lambda rows: average(select(rows, target="new", quantity="drift")),
    }
    notes = ("drift: mean of 1 - cosine between the tuned and the frozen feature of an image",)

    def rows(self, look):
        for target, sweep in look.sweeps.items():
            if sweep.edited:
                tuned, frozen = sweep.features["cls"], sweep.frozen
                cosines = (tuned * frozen).sum(-1) / tuned.norm(dim=-1) / frozen.norm(dim=-1)
                yield look.number(target, "drift", float(1 - cosines.mean()), part="cls")

    def figure(self, drawing):
        figure, ((axis,),) = figures.sheet(1, 1)
        targets = ("base", "new")
        for name, style in drawing.styled():
            for place, target in enumerate(targets):
                rows = select(drawing.of(name), target=target, epoch=None)
                figures.dot(axis, place, rows, style, "full")
        axis.set_xticks(range(2), [f"{target} classes" for target in targets])
        axis.set_ylabel("1 - cosine")
        axis.set_title("drift")
        return figure, figures.legend(drawing)

    def curves(self, drawing):
        panels = [("drift", {"part": "cls"}, "drift", "1 - cosine")]
        figure, _ = figures.over_training(drawing, panels, figures.LINES)
        return figure, figures.legend(drawing, figures.base_new())
