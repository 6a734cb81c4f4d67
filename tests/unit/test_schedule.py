from collections import Counter
from itertools import pairwise

import pytest

from mnbench.measure.schedule import order_of_pass, williams_square


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 12, 13])
def test_every_item_stands_equally_often_in_every_place(n):
    rows = williams_square(n)
    for column in zip(*rows, strict=True):
        assert set(Counter(column).values()) == {len(rows) // n}


@pytest.mark.parametrize("n", [2, 3, 4, 5, 12, 13])
def test_every_item_follows_every_other_equally_often(n):
    rows = williams_square(n)
    pairs = Counter(pair for row in rows for pair in pairwise(row))
    assert len(pairs) == n * (n - 1)
    assert len(set(pairs.values())) == 1


def test_the_passes_of_one_square_are_balanced_under_the_relabelling():
    items = list("abcdef")
    passes = [order_of_pass(items, number, seed=3) for number in range(6)]
    assert all(sorted(order) == items for order in passes)
    assert all(len(set(column)) == 6 for column in zip(*passes, strict=True))


def test_the_order_depends_on_the_seed_alone():
    items = list(range(13))
    assert order_of_pass(items, 4, seed=1) == order_of_pass(items, 4, seed=1)
    assert order_of_pass(items, 4, seed=1) != order_of_pass(items, 4, seed=2)


def test_nothing_to_order_gives_an_empty_order():
    assert order_of_pass([], 0, seed=0) == []
