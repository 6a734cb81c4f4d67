"""The catalog: which networks there are, and what was published about each. Needs no torch.

To add a network: its builder in `mnbench.zoo`, a `Network` in networks.py, its figures in published.csv.
"""

from __future__ import annotations

from functools import cache

from mnbench.catalog import probes
from mnbench.catalog.networks import NETWORKS, SUITES, Network
from mnbench.catalog.operators import OPERATORS, network_of, parse
from mnbench.catalog.published import Figures, cite, read_figures
from mnbench.errors import UnknownNameError
from mnbench.records import ModelCard

__all__ = ["card", "cite", "names", "suite", "suites"]


def names() -> tuple[str, ...]:
    """Return the name of every network, in the catalog's order. Single operators and probes have cards, but are no networks."""
    return tuple(network.name for network in NETWORKS)


def card(name: str) -> ModelCard:
    """Return the card of one network, or of an operator or a probe that its name describes (`operators`, `probes`).

    Raises UnknownNameError, with the nearest name, for a network the catalog does not hold, UsageError for an operator or a
    probe that cannot be.
    """
    if (found := _cards().get(name)) is not None:
        return found
    if (probe := probes.parse(name)) is not None:  # before the operators, whose names look alike
        return _card(probes.network_of(probe), Figures())
    if (operator := parse(name)) is not None:
        return _card(network_of(operator), Figures())
    raise UnknownNameError("model", name, names())


def suites() -> tuple[str, ...]:
    """Return the name of every suite."""
    return tuple(_suites())


def suite(name: str) -> tuple[str, ...]:
    """Return the names of the networks of one suite, in the order in which they are reported.

    Raises UnknownNameError, with the nearest name, for a suite that is not defined.
    """
    try:
        return _suites()[name]
    except KeyError:
        raise UnknownNameError("suite", name, suites()) from None


@cache
def _suites() -> dict[str, tuple[str, ...]]:
    return {**SUITES, "v1-operators": tuple(operator.name for operator in OPERATORS)}


@cache
def _cards() -> dict[str, ModelCard]:
    published = read_figures()
    return {network.name: _card(network, published.get(network.name, Figures())) for network in (*NETWORKS, *OPERATORS)}


def _card(network: Network, figures: Figures) -> ModelCard:
    return ModelCard(
        name=network.name,
        family=network.family,
        build=network.build,
        arguments=network.arguments,
        input_chw=(network.channels, network.resolution, network.resolution),
        params=tuple(figures.params),
        madds=tuple(figures.madds),
        latency=tuple(figures.latency),
        accuracy=tuple(figures.accuracy),
        weights=network.weights,
        license=network.license,
        packages=network.packages,
    )
