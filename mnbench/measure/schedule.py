"""The order in which cases take their turns: balanced, seeded, stored with every round."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def williams_square(n: int) -> list[list[int]]:
    """Return a Latin square of order `n` (2n rows for odd n) in which each item follows each other item equally often.

    Every column holds every item equally often, so a drift within a pass falls on all alike; every ordered pair of neighbours
    appears equally often, so what the previous network left in the caches does too. Source: E. J. Williams, "Experimental
    designs balanced for the estimation of residual effects of treatments", 1949.
    """
    if n <= 0:
        return []
    first = [0]
    low, high = 1, n - 1
    while len(first) < n:
        first.append(low)
        low += 1
        if len(first) < n:
            first.append(high)
            high -= 1
    rows = [[(item + shift) % n for item in first] for shift in range(n)]
    if n % 2:
        rows += [list(reversed(row)) for row in rows]
    return rows


def order_of_pass(items: Sequence[T], number: int, seed: int) -> list[T]:
    """Return `items` in the order of pass `number`: successive rows of a Williams square under a seeded relabelling.

    When the square is used up, a new relabelling begins.
    """
    square = williams_square(len(items))
    if not square:
        return []
    cycle, row = divmod(number, len(square))
    generator = random.Random(f"{seed}/{cycle}")  # noqa: S311 - an order, not a secret
    labels = generator.sample(range(len(items)), len(items))
    rows = generator.sample(range(len(square)), len(square))
    return [items[labels[position]] for position in square[rows[row]]]
