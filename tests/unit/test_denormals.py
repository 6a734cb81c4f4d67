"""A network built to have denormals must be caught."""

import torch
from torch import nn

from mnbench import catalog, zoo
from mnbench.zoo.denormals import Denormals, count_denormals, number_of_denormals


def test_only_numbers_between_zero_and_the_smallest_normal_are_denormal():
    values = torch.tensor([0.0, 1e-40, -1e-40, torch.finfo(torch.float32).tiny, 1.0, float("inf"), float("nan")])
    assert number_of_denormals(values) == 2
    assert number_of_denormals(torch.tensor([1, 2])) == 0


def test_a_network_built_to_have_denormals_is_caught_in_weights_and_activations():
    shrinking = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        shrinking[0].weight.fill_(1e-25)
        shrinking[1].weight.fill_(1e-16)
    found = count_denormals(shrinking, torch.ones(1, 4))
    assert (found.weights, found.activations) == (0, 8)  # the second layer's 4 outputs, seen there and in the whole
    with torch.no_grad():
        shrinking[1].weight[0, 0] = 1e-41
    assert count_denormals(shrinking, torch.ones(1, 4)).weights == 1


def test_the_projects_own_initial_weights_have_none():
    module = zoo.build(catalog.card("mobilenet_v2_0.35_96"), seed=0)
    assert count_denormals(module, torch.randn(1, 3, 96, 96)) == Denormals(weights=0, activations=0)
