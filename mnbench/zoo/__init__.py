"""The networks as torch modules, and the counting of their parameters and multiply-adds."""

from mnbench.zoo.build import build, outline
from mnbench.zoo.count import Counts, Kind, Layer, count
from mnbench.zoo.denormals import Denormals, count_denormals, run_and_count
from mnbench.zoo.weights import load_weights

__all__ = ["Counts", "Denormals", "Kind", "Layer", "build", "count", "count_denormals", "load_weights", "outline",
           "run_and_count"]  # fmt: skip
