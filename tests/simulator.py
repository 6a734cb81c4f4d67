"""Runs with known truth: latencies with the faults that real machines have, laid out in time as `conduct` lays them out.

Every fault is multiplicative: a sample is truth x launch effect x drift(t) x burst(t) x noise of the sample. The truth of a
ratio is then exact, whatever the noise does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]

ROUND_S = 0.15
START_S = 0.35
TICK_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What disturbs a machine. Effects are in natural logarithms: 0.01 is one per cent."""

    name: str
    launch_sd: float = 0.01
    """Spread between fresh processes of the same file (docs/methodology.md: about 1 %)."""
    stray_share: float = 0.0
    stray_size: float = 0.0
    """This share of launches is off by a normal number of this spread: a shared host's neighbours, which no counter shows."""
    lottery: float = 0.0
    """A launch is slower by this with probability one half: two memory layouts."""
    round_sd: float = 0.003
    sample_sd: float = 0.01
    autocorrelation: float = 0.0
    """Of neighbouring samples (AR(1))."""
    second_mode: float = 0.0
    """A third of all samples is slower by this."""
    slope_per_minute: float = 0.0
    steps_per_minute: float = 0.0
    step_sd: float = 0.0
    """Size of a step of the machine's speed, up or down."""
    wander_sd: float = 0.0
    """A slow random drift with a correlation time of four seconds (docs/methodology.md: 3 %, autocorrelation 0.5 at 2.8 s)."""
    burst_share: float = 0.0
    burst_size: float = 0.0
    """Another process takes the CPU in bursts of 0.2 to 2 s."""
    tail_size: float = 0.0
    """The first inferences of a round are slower by this, and settle over about 20 of them."""


MODELS: Sequence[Noise] = (
    Noise(name="launch effects"),
    Noise(name="two layouts", launch_sd=0.003, lottery=0.03),
    Noise(name="linear drift", slope_per_minute=0.10),
    Noise(name="steps", steps_per_minute=2.0, step_sd=0.05),
    Noise(name="wandering speed", wander_sd=0.03),
    Noise(name="bursts", burst_share=0.3, burst_size=0.15),
    Noise(name="autocorrelated samples", autocorrelation=0.95, sample_sd=0.03),
    Noise(name="two modes of samples", second_mode=0.08),
    Noise(name="warm-up tails", tail_size=0.2),
    Noise(name="stray launches", stray_share=0.1, stray_size=0.1),
    Noise(name="everything", wander_sd=0.02, steps_per_minute=1.0, step_sd=0.03, burst_share=0.1, burst_size=0.1,
          second_mode=0.05, autocorrelation=0.5, tail_size=0.1, lottery=0.01),
)  # fmt: skip


def simulate(
    noise: Noise, cases: int, *, launches: int, rounds: int = 3, samples: int = 20, trials: int = 1, seed: int = 0
) -> Array:
    """Return the logarithm of each round's median latency, with shape (trials, launches, rounds, cases).

    Every case has the true latency 1, so the truth of each logarithm of a ratio is 0. The rounds of a trial take place one
    after another, every pass in another random order, after the launches of their wave have started.
    """
    generator = np.random.default_rng(seed)
    wave_s = cases * (START_S + rounds * ROUND_S)
    machine = speeds(noise, launches * wave_s, trials, generator)
    passes = np.broadcast_to(np.arange(cases), (trials, launches, rounds, cases))
    place = np.random.default_rng((seed, 1)).permuted(passes, axis=-1)
    starts_s = (
        wave_s * np.arange(launches)[:, None, None] + cases * START_S + ROUND_S * (cases * np.arange(rounds)[:, None] + place)
    )
    times_s = starts_s[..., None] + np.linspace(0, ROUND_S, samples, endpoint=False)
    trial = np.arange(trials)[:, None, None, None, None]
    logs = machine[trial, (times_s / TICK_S).astype(int)]
    shape = starts_s.shape
    layout = generator.normal(0, noise.launch_sd, (trials, launches, 1, cases))
    stray = generator.random(layout.shape) < noise.stray_share
    layout = layout + stray * generator.normal(0, noise.stray_size, layout.shape)
    layout = layout + noise.lottery * generator.integers(2, size=layout.shape)
    logs = logs + (layout + generator.normal(0, noise.round_sd, shape))[..., None]
    logs += noise.sample_sd * autoregression(noise.autocorrelation, (*shape, samples), generator)
    logs += noise.second_mode * (generator.random(logs.shape) < 1 / 3)
    logs += noise.tail_size * np.exp(-np.arange(samples) / 7.0)
    return np.asarray(np.median(logs, axis=-1))


def speeds(noise: Noise, duration_s: float, trials: int, generator: np.random.Generator) -> Array:
    """Return the logarithm of the machine's slowness at each tick: drift, steps, wandering, bursts; (trials, ticks)."""
    ticks = int((duration_s + 5) / TICK_S)
    shape = (trials, ticks)
    logs = noise.slope_per_minute / 60 * TICK_S * np.arange(ticks) * np.ones((trials, 1))
    steps = generator.random(shape) < noise.steps_per_minute / 60 * TICK_S
    logs += np.cumsum(steps * generator.normal(0, noise.step_sd, shape), axis=-1)
    logs += noise.wander_sd * autoregression(float(np.exp(-TICK_S / 4.0)), shape, generator)
    if noise.burst_share:
        logs += noise.burst_size * np.array([bursts(noise.burst_share, ticks, generator) for _ in range(trials)])
    return logs


def bursts(share: float, ticks: int, generator: np.random.Generator) -> Array:
    """Return 1 where a burst is on: 0.2 to 2 s long, `share` of the time in all."""
    on = np.zeros(ticks)
    now_s = 0.0
    while now_s < ticks * TICK_S:
        now_s += generator.exponential(1.1 * (1 - share) / share)
        length_s = generator.uniform(0.2, 2.0)
        on[int(now_s / TICK_S) : int((now_s + length_s) / TICK_S)] = 1.0
        now_s += length_s
    return on


def autoregression(coefficient: float, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Return stationary AR(1) series of unit variance along the last axis."""
    shocks = generator.normal(0, np.sqrt(1 - coefficient**2), shape)
    shocks[..., 0] /= np.sqrt(1 - coefficient**2)
    return np.asarray(lfilter([1.0], [1.0, -coefficient], shocks, axis=-1))
