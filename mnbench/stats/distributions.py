"""Student's and the normal distribution. scipy has them too, but it is 140 MB, and these four are all that a run needs of it.

Oracle of the tests: scipy.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

MOST_STEPS = 100_000
"""Of the continued fraction, which needs about the square root of the degrees of freedom."""
TINY = 1e-300


def normal_below(z: float) -> float:
    """Return the probability that a standard normal variable lies below `z`."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def normal_quantile(p: float) -> float:
    """Return the value below which a standard normal variable lies with probability `p`, of 0 < p < 1."""
    from statistics import NormalDist  # here: its import takes 10 ms, and most commands need none of it

    return NormalDist().inv_cdf(p)


def student_below(degrees: float, t: float) -> float:
    """Return the probability that a Student variable lies below `t`. Exact to ten digits in the tails as well."""
    tail = _student_tail(degrees, abs(t))
    return 1.0 - tail if t > 0 else tail


@functools.lru_cache(maxsize=4096)
def student_quantile(degrees: float, p: float) -> float:
    """Return the value below which a Student variable lies with probability `p`; infinite for 0 and 1."""
    if p < 0.5:
        return -_upper_quantile(degrees, p)
    return _upper_quantile(degrees, 1.0 - p)


def student_within(degrees: int, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability that a Student variable lies within ±t, negative for negative t. For whole degrees of freedom.

    A finite sum of powers of a cosine (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4), and so fast for many t at once. Exact to
    fifteen decimal places, so of no use for the tails.
    """
    angle = np.arctan(t / math.sqrt(degrees))
    cosine, sine = np.cos(angle), np.sin(angle)
    odd = degrees % 2
    terms = [1.0]  # of the sum, in rising powers of the squared cosine
    for step in range(1, (degrees - odd) // 2):
        terms.append(terms[-1] * ((2 * step) / (2 * step + 1) if odd else (2 * step - 1) / (2 * step)))
    total = np.zeros_like(cosine)
    for term in reversed(terms):
        total = total * cosine**2 + term
    if not odd:
        return np.asarray(sine * total)
    return np.asarray(2 / math.pi * (angle + sine * cosine * total if degrees > 1 else angle))


def _upper_quantile(degrees: float, tail: float) -> float:
    """Return the t above which a Student variable lies with probability `tail`, of 0 to 0.5."""
    if tail <= 0.0:
        return math.inf
    low, high = 0.0, 1.0
    while _student_tail(degrees, high) > tail:
        low, high = high, 2 * high
        if math.isinf(high):
            return math.inf
    for _ in range(200):  # Newton's step, or half of the bracket where that would leave it
        middle = (low + high) / 2
        density = _student_density(degrees, middle)
        step = (_student_tail(degrees, middle) - tail) / density if density > 0 else math.inf
        guess = middle + step
        if step > 0:
            low = middle
        else:
            high = middle
        if low < guess < high:
            rest = _student_tail(degrees, guess) - tail
            low, high = (guess, high) if rest > 0 else (low, guess)
        if high - low <= 4e-16 * high or step == 0.0:
            break
    return (low + high) / 2


def _student_density(degrees: float, t: float) -> float:
    log = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(degrees * math.pi)
    return math.exp(log - (degrees + 1) / 2 * math.log1p(t * t / degrees))


def _student_tail(degrees: float, t: float) -> float:
    """Return the probability that a Student variable lies above `t`, which is not negative."""
    if math.isinf(t):
        return 0.0
    share = t * t / degrees  # both arguments of the beta function from it: neither loses digits
    return 0.5 * _beta_share(degrees / 2, 0.5, 1.0 / (1.0 + share), share / (1.0 + share))


def _beta_share(a: float, b: float, x: float, rest: float) -> float:
    """Return the regularised incomplete beta function of a, b at `x`, where `rest` is 1 - x."""
    if x <= 0.0 or rest <= 0.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges on the other side
        return 1.0 - _beta_share(b, a, rest, x)
    log = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    return math.exp(log) / a * _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method."""
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, MOST_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for numerator in (even, odd):
            c, d = _not_zero(1.0 + numerator / c), 1.0 / _not_zero(1.0 + numerator * d)
            change = c * d
            value *= change
        if abs(change - 1.0) < 1e-16:
            break
    return value


def _not_zero(number: float) -> float:
    return number if abs(number) > TINY else TINY
