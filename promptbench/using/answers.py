"""What a method answers to own images, and how that is written: a table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from promptbench.report.flat import safe

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = ("table", "csv", "json")
FIELDS = ("image", "rank", "class", "confidence", "error")
_DIGITS = 6


class Choice(NamedTuple):
    """A class name and its probability."""

    name: str
    confidence: float


@dataclass(frozen=True)
class Answer:
    """The most probable class names of an image, the most probable first."""

    image: str
    top: tuple[Choice, ...]

    @property
    def label(self) -> str:
        """The class name that the image is given."""
        return self.top[0].name

    @property
    def confidence(self) -> float:
        """Its probability."""
        return self.top[0].confidence


@dataclass(frozen=True)
class Answers(Sequence[Answer]):
    """An answer per image, in their order, and the class names that competed."""

    answers: tuple[Answer, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, place: Any) -> Any:
        return self.answers[place]

    @property
    def labels(self) -> list[str]:
        """The class name that each image is given."""
        return [answer.label for answer in self.answers]


def of_logits(
    logits: Tensor, images: Sequence[str], classes: Sequence[str], top: int
) -> Iterator[Answer]:
    """Yield the answers that logits [n_images, n_classes] give; of equal logits the first comes
    first, as in records."""
    import torch

    largest = logits.max(dim=-1, keepdim=True).values
    shifted = torch.where(logits == largest, 0.0, logits - largest)  # inf - inf is NaN
    p = shifted.exp() / shifted.exp().sum(dim=-1, keepdim=True)
    order = logits.sort(dim=-1, descending=True, stable=True).indices[:, :top]
    sorted_p = p.gather(-1, order).tolist()
    for image, places, own in zip(images, order.tolist(), sorted_p, strict=True):
        choices = zip(places, own, strict=True)
        yield Answer(image, tuple(Choice(classes[place], c) for place, c in choices))


def as_csv(answers: Answers, unreadable: Mapping[str, str]) -> str:
    """Write one line per image and rank, and one for each image that cannot be read."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(FIELDS)
    for answer in answers:
        for rank, (name, confidence) in enumerate(answer.top, 1):
            rows.writerow([safe(answer.image), rank, safe(name), f"{confidence:.{_DIGITS}f}", ""])
    for image, reason in unreadable.items():
        rows.writerow([safe(image), "", "", "", safe(reason)])
    return out.getvalue()


def as_json(answers: Answers, unreadable: Mapping[str, str], facts: Mapping[str, Any]) -> str:
    """Write one document: facts, class names, and an entry per image."""
    images: list[dict[str, Any]] = [
        {
            "image": answer.image,
            "top": [{"class": n, "confidence": round(c, _DIGITS)} for n, c in answer.top],
        }
        for answer in answers
    ]
    images += [{"image": image, "error": reason} for image, reason in unreadable.items()]
    whole = {**facts, "classes": list(answers.classes), "images": images}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
