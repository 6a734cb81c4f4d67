"""Student's and the normal distribution, held against scipy's."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.special
import scipy.stats

from mnbench.stats.distributions import (
    normal_below,
    normal_quantile,
    student_below,
    student_quantile,
    student_within,
)

DEGREES = (1.0, 2.0, 2.5, 3.0, 4.0, 7.3, 11.0, 19.0, 60.0, 499.0, 12_345.6)
POINTS = (-400.0, -38.0, -12.0, -4.0, -1.96, -0.3, -1e-3, 0.0, 1e-3, 0.3, 1.96, 4.0, 12.0)


@pytest.mark.parametrize("degrees", DEGREES)
def test_students_distribution_is_scipys_to_ten_digits_in_the_tails_too(degrees: float) -> None:
    for t in POINTS:
        assert student_below(degrees, t) == pytest.approx(scipy.special.stdtr(degrees, t), rel=1e-10, abs=1e-290)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("p", [1e-12, 0.001, 0.025, 0.3, 0.5, 0.51, 0.95, 0.975, 0.995, 0.99999, 1 - 1e-9])
def test_students_quantile_is_scipys_to_ten_digits(degrees: float, p: float) -> None:
    assert student_quantile(degrees, p) == pytest.approx(scipy.stats.t.ppf(p, degrees), rel=1e-10, abs=1e-12)


def test_the_quantile_that_every_table_has() -> None:
    assert student_quantile(2, 0.975) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)), rel=1e-13)  # closed form
    assert round(student_quantile(10, 0.975), 3) == 2.228


def test_a_certain_interval_has_no_end() -> None:
    assert student_quantile(5, 1.0) == np.inf
    assert student_quantile(5, 0.0) == -np.inf


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 10, 19, 20, 499, 500])
def test_many_points_at_once_agree_with_scipy(degrees: int) -> None:
    t = np.array([-30.0, -2.0, -0.1, 0.0, 0.4, 1.0, 2.5, 9.0, 1e4])
    expected = scipy.stats.t.cdf(t, degrees) - scipy.stats.t.cdf(-t, degrees)
    assert student_within(degrees, t) == pytest.approx(expected, abs=2e-14)


@pytest.mark.parametrize("z", [-37.0, -8.0, -1.0, 0.0, 0.5, 3.0])
def test_the_normal_distribution_is_scipys(z: float) -> None:
    assert normal_below(z) == pytest.approx(scipy.special.ndtr(z), rel=1e-12)


@pytest.mark.parametrize("p", [1e-9, 0.025, 0.5, 0.975, 0.9999])
def test_the_normal_quantile_is_scipys(p: float) -> None:
    assert normal_quantile(p) == pytest.approx(scipy.special.ndtri(p), rel=1e-12, abs=1e-15)


def test_statistics_and_reports_load_neither_scipy_nor_pandas() -> None:
    code = (
        "import sys, mnbench.stats, mnbench.stats.selftest, mnbench.report.table_csv, mnbench.studies.width_resolution.ranks;"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"scipy", "pandas", "torch"} & set(loaded)
