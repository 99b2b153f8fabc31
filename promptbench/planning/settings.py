"""What a cell is set to: which names its configuration may use, and what they come to.

Gin files and bindings go in, plain values by class come out. A protocol's datasets are settings
too: its gin file binds them per suite.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench import config, demo
from promptbench.config import Bindings, ConfigSources, KnownNames, suites
from promptbench.config.suites import names as suite_names
from promptbench.core.protocol import Leg, Protocol
from promptbench.core.ranges import out_of_range
from promptbench.core.recipe import Recipe, epochs_for, stated, unfit, whole
from promptbench.core.registry import BUILT_IN, PROTOCOLS, Plugin
from promptbench.core.shots import settled
from promptbench.core.traits import has_solver, passes_of, stated_parameters
from promptbench.data.cards import cards
from promptbench.errors import UserError, unknown
from promptbench.records.tuning import TRIAL, is_tuned

if TYPE_CHECKING:
    from promptbench.core.method import Method

BY_HAND = "by hand"  # settings of a suite's backbone without what a search has chosen of them
_USUAL_SHOTS = 16
_OF_PASSES = ("crop_scale", "flip")  # what a recipe says to a method without gradient steps


def known_names(plugins: Sequence[Plugin[Any]]) -> KnownNames:
    """What the configuration of a run with these plugins may name.

    Raises:
        UserError: two classes of one name, which a binding could not tell apart.
    """
    owners: dict[str, Plugin[Any]] = {}
    for plugin in plugins:
        if plugin.cls.__name__ == Recipe.__name__:
            raise UserError(
                f"{plugin.name} ({plugin.provider}) calls its class Recipe, as the settings of "
                "every training are called; rename it"
            )
        other = owners.setdefault(plugin.cls.__name__, plugin)
        if other.cls is not plugin.cls:
            raise UserError(
                f"{other.name} ({other.provider}) and {plugin.name} ({plugin.provider}) both call "
                f"their class {plugin.cls.__name__}; rename one, gin could not tell them apart"
            )
    protocols = frozenset(PROTOCOLS.names())
    return KnownNames(
        configurables={p.cls.__name__: p.cls for p in plugins} | {"Recipe": Recipe},
        protocols=protocols,
        datasets=frozenset(cards.names()).union(*map(datasets_of, suite_names())),
        suites=frozenset(suite_names()),
    )


def scope_of(name: str, protocol: Protocol, preset: str, leg: Leg) -> str:
    """The gin scope of a cell: the protocol it trains as and, in preset "paper", its source.

    A source that gin cannot name (102flowers) has no settings of its own: the protocol's hold.
    """
    trained, source = protocol.trains_as or name, leg.source.dataset
    own = preset == "paper" and config.can_be_scope(source)
    return f"{trained}/{source}" if own else trained


def shipped(method: Plugin[Any], backbone: str, leg: Leg, preset: str) -> ConfigSources:
    """The gin files that come with promptbench for a cell, later ones winning.

    After the method's own: what the backbone needs, wherever it is used; what a search has chosen
    of that; and how generated images are cropped, whatever the backbone, which the author of a
    method that does not come with promptbench decides.

    Args:
        preset: as records call it. Trials, and what they choose, begin before any earlier search:
            their budget would be spent on top of that one's. `BY_HAND`: so do settings from before
            there was one.
    """
    home = suites.of_backbone(backbone)
    begins = preset in (TRIAL, BY_HAND) or is_tuned(preset)
    suffixes = (suites.OVERLAY,) if begins else (suites.OVERLAY, suites.SEARCHED)
    files = [method.gin_file, *(home.overlay_file(method.name, s) for s in suffixes if home)]
    if leg.source.dataset in cards.generated() and method.provider == BUILT_IN:
        files.append(Path(str(resources.files(demo))) / "generated.gin")
    return ConfigSources(tuple(file for file in files if file is not None))


def settings_of(
    method: Plugin[Any], bindings: Bindings, scope: str, shots: int
) -> dict[str, dict[str, Any]]:
    """Every parameter in force, by class; methods without gradient steps have no recipe, or what it
    says of the augmented passes that they are shown.

    Raises:
        UserError: a parameter without a value, a recipe outside its ranges.
    """
    annotations = {name: p.annotation for name, p in config.parameters(method.cls).items()}
    values = settled(bindings.values(method.cls, scope), annotations, shots)
    own = stated_parameters(method.cls, values)
    found = {method.cls.__name__: own}
    solves = has_solver(method.cls)
    passes = passes_of(method.cls, own)
    if method.cls.paradigm != "zero-shot" and (passes or not solves):
        recipe = found["Recipe"] = bindings.values(Recipe, scope)
        if wrong := out_of_range(recipe):  # before any cell is computed
            raise _refused(wrong, bindings, scope)
        if solves:
            found["Recipe"] = {name: recipe[name] for name in _OF_PASSES}
        else:
            recipe["epochs"] = epochs_for(recipe["epochs"], shots)
            found["Recipe"] = stated(recipe)
    return found


def fitting_settings_of(
    method: Plugin[Any], bindings: Bindings, scope: str, shots: int
) -> dict[str, dict[str, Any]]:
    """The settings of `settings_of`, with which the method can be trained.

    Raises:
        UserError: as there; a recipe for another number of views or stages than the method has.
    """
    found = settings_of(method, bindings, scope, shots)
    if "epochs" in found.get("Recipe", {}) and (wrong := unfit(method.cls, whole(found["Recipe"]))):
        raise _refused(wrong, bindings, scope)
    return found


def _refused(wrong: tuple[str, str], bindings: Bindings, scope: str) -> UserError:
    """What is wrong with a setting of the recipe, and where it stands."""
    name, problem = wrong
    binding = bindings.bound(Recipe, scope).get(name)
    return UserError(f"{binding.where}: {problem}" if binding else problem)


def default_settings(method: Plugin[Any]) -> dict[str, dict[str, Any]]:
    """A method's parameters and recipe as its own gin file sets them, outside any scope."""
    own = config.load(_own_file(method), known_names([method]))
    return fitting_settings_of(method, own, "", _USUAL_SHOTS)


def _own_file(plugin: Plugin[Any]) -> ConfigSources:
    return ConfigSources((plugin.gin_file,) if plugin.gin_file else ())


def differences(
    usual: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]], method: type[Method]
) -> list[str]:
    """The settings of a method that the user changed, as bindings."""
    before = _whole(usual, method)
    return [
        f"{cls}.{name} = {value!r}"
        for cls, values in sorted(_whole(now, method).items())
        for name, value in sorted(values.items())
        if value != before[cls][name]
    ]


def _whole(settings: dict[str, dict[str, Any]], method: type[Method]) -> dict[str, dict[str, Any]]:
    """Settings with all younger ones."""
    return {
        cls: whole(own) if cls == Recipe.__name__ else {**method.younger, **own}
        for cls, own in settings.items()
    }


def load_protocol(
    name: str, suite: str, known: KnownNames, own: Bindings | None = None
) -> Protocol:
    """A protocol with the datasets that its gin file binds for a suite; the user's `own` bindings,
    such as another source, win."""
    plugin = PROTOCOLS.load(name)
    trained = plugin.cls.trains_as
    if trained is not None and trained not in PROTOCOLS.names():
        raise unknown("protocol", trained, PROTOCOLS.names(), f"{name} trains as it")
    bindings = config.load(_own_file(plugin), known) + (own or Bindings())
    protocol: Protocol = plugin.cls(**bindings.values(plugin.cls, suite))
    return protocol


def datasets_of(suite: str) -> list[str]:
    """Datasets that the protocols name for a suite, each once; their cards may come later."""
    protocols = PROTOCOLS.names()
    found: list[str] = []
    for name in protocols:
        plugin = PROTOCOLS.load(name)
        known = KnownNames(
            configurables={plugin.cls.__name__: plugin.cls},
            protocols=frozenset(protocols),
            datasets=frozenset(),
            suites=frozenset(suite_names()),
        )
        found += datasets_named(load_protocol(name, suite, known).legs(1))
    return list(dict.fromkeys(found))


def datasets_named(legs: Iterable[Leg]) -> list[str]:
    """The datasets of legs, each once: a leg's source, then its targets."""
    named = [[leg.source.dataset, *(t.dataset for t in leg.targets)] for leg in legs]
    return list(dict.fromkeys(name for names in named for name in names))
