"""What the study `separable` times: the layers of MobileNetV1, the layer of its Table 3, and a grid of shapes.

A line is one operator at several numbers of copies, whose slope is the operator's time. A cell is one shape, in which a
standard convolution and its separable twin stand against each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mnbench.catalog.operators import Operator, cost
from mnbench.records import Case
from mnbench.studies.common.operator_slopes import LINE_WEIGHT_BYTES, single_of, tail_of

NETWORK = "mobilenet_v1_1.0_224"
MOST_MADDS = 2_000_000_000
"""Of one copy, all images: beyond it a copy takes as long as a round, and shows nothing that smaller ones do not."""
MOST_WEIGHTS_MIB = 40
MADDS_PER_NS, BYTES_PER_NS, NS_PER_LAYER = 50.0, 20.0, 1_000.0
"""What one core does, roughly: only to choose how many copies are worth timing."""

TABLE_3 = (
    # printed row, kind, resolution, channels, printed MAdds in millions, printed parameters in millions
    ("Convolution", "standard", 14, 512, 462.0, 2.36),
    ("Depthwise Separable Conv", "separable", 14, 512, 52.3, 0.27),
    ("α = 0.75", "separable", 14, 384, 29.6, 0.15),
    ("ρ = 0.714", "separable", 10, 384, 15.1, 0.15),
)
"""MobileNetV1 paper, Table 3: cumulative changes to a layer of 14x14, 512 → 512 channels, kernel 3. 14 · 0.714 is 10."""

CHANNELS_OF = {112: 128, 56: 256, 28: 512, 14: 1024, 7: 1024}
"""By resolution, the most channels of the grid: from 16 on, doubled."""
SWEEP_RESOLUTION, SWEEP_IN = 14, 128
KERNEL_5 = ((112, 32), (56, 64), (56, 128), (28, 128), (28, 256), (14, 128), (14, 512), (7, 256), (7, 1024))
STRIDED = ((112, 64, 128), (56, 128, 256), (28, 256, 512), (14, 512, 1024), (112, 32, 32), (56, 64, 64), (14, 128, 128))
BATCH_8 = ((112, 32), (56, 64), (28, 128), (14, 128), (14, 256), (7, 128), (7, 512))
QUICK_CELLS = ((14, 512), (28, 256))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One shape: DK, DF (of the input), M, N, and what else decides its cost."""

    kernel: int
    resolution: int
    in_channels: int
    out_channels: int
    stride: int = 1
    batch: int = 1

    @property
    def standard(self) -> Operator:
        return self._operator("standard")

    @property
    def depthwise(self) -> Operator:
        return replace(self._operator("depthwise"), out_channels=self.in_channels)

    @property
    def pointwise(self) -> Operator:
        return Operator(
            kind="pointwise",
            resolution=self.standard.out_resolution,
            in_channels=self.in_channels,
            out_channels=self.out_channels,
        )

    @property
    def separable(self) -> Operator:
        return self._operator("separable")

    @property
    def paired(self) -> bool:
        """Whether the separable pair is timed as one.

        There and back, with M ≠ N, its depthwise part would see N channels half of the time: the parts are timed, and added.
        """
        return self.stride > 1 or self.in_channels == self.out_channels

    @property
    def formula(self) -> float:
        """By how much the multiply-adds of a separable convolution are fewer: 1 / (1/N + 1/DK²), V1 paper, section 3.1."""
        return 1 / (1 / self.out_channels + 1 / self.kernel**2)

    @property
    def name(self) -> str:
        extra = (f", stride {self.stride}" if self.stride > 1 else "") + (f", batch {self.batch}" if self.batch > 1 else "")
        size = f"{self.resolution}x{self.resolution}"
        return f"{self.kernel}x{self.kernel} at {size}, {self.in_channels} → {self.out_channels}{extra}"

    def operators(self) -> tuple[Operator, ...]:
        """Return what is timed of this cell."""
        parts = (self.standard, self.depthwise, self.pointwise)
        return (*parts, self.separable) if self.paired else parts

    def _operator(self, kind: str) -> Operator:
        return Operator(
            kind=kind,
            resolution=self.resolution,
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            kernel=self.kernel,
            stride=self.stride,
        )


def _layer(kind: str, resolution: int, m: int, n: int, stride: int = 1) -> Operator:
    kernel = 3 if kind in ("standard", "depthwise") else 1
    return Operator(kind=kind, resolution=resolution, in_channels=m, out_channels=n, kernel=kernel, stride=stride)


V1_LAYERS: tuple[tuple[Operator, int], ...] = (
    # V1 paper, Table 1, in its order, equal rows once: the operator, how many times it occurs.
    (_layer("standard", 224, 3, 32, 2), 1),
    (_layer("depthwise", 112, 32, 32), 1),
    (_layer("pointwise", 112, 32, 64), 1),
    (_layer("depthwise", 112, 64, 64, 2), 1),
    (_layer("pointwise", 56, 64, 128), 1),
    (_layer("depthwise", 56, 128, 128), 1),
    (_layer("pointwise", 56, 128, 128), 1),
    (_layer("depthwise", 56, 128, 128, 2), 1),
    (_layer("pointwise", 28, 128, 256), 1),
    (_layer("depthwise", 28, 256, 256), 1),
    (_layer("pointwise", 28, 256, 256), 1),
    (_layer("depthwise", 28, 256, 256, 2), 1),
    (_layer("pointwise", 14, 256, 512), 1),
    (_layer("depthwise", 14, 512, 512), 5),
    (_layer("pointwise", 14, 512, 512), 5),
    (_layer("depthwise", 14, 512, 512, 2), 1),
    (_layer("pointwise", 7, 512, 1024), 1),
    (_layer("depthwise", 7, 1024, 1024), 1),
    (_layer("pointwise", 7, 1024, 1024), 1),
    (_layer("linear", 1, 1024, 1000), 1),
)
POOL = _layer("depthwise", 7, 1024, 1024)
"""The network's own global pool is what stands behind copies of this shape side by side."""


def grid_cells() -> tuple[Cell, ...]:
    """Return the systematic grid: M = N, kernel 3, stride 1, batch 1."""
    return tuple(_square(3, resolution, channels) for resolution, most in CHANNELS_OF.items() for channels in doubled(most))


def sweep_cells() -> tuple[Cell, ...]:
    """Return the cells of the line over N."""
    return tuple(_sweep(n) for n in doubled(CHANNELS_OF[SWEEP_RESOLUTION]))


def other_cells() -> tuple[Cell, ...]:
    """Return kernel 5, stride 2 and batch 8, each over a coarser grid."""
    kernel_5 = [_square(5, resolution, channels) for resolution, channels in KERNEL_5]
    strided = [Cell(kernel=3, resolution=r, in_channels=m, out_channels=n, stride=2) for r, m, n in STRIDED]
    batch_8 = [_square(3, resolution, channels, 8) for resolution, channels in BATCH_8]
    return (*kernel_5, *strided, *batch_8)


def cells(quick: bool) -> tuple[Cell, ...]:
    """Return every cell in which both sides are timed."""
    if quick:
        return tuple(_square(3, resolution, channels) for resolution, channels in QUICK_CELLS)
    return tuple(dict.fromkeys((*grid_cells(), *sweep_cells(), *other_cells())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One operator at several numbers of copies."""

    operator: Operator
    copies: tuple[int, ...]
    batch: int = 1
    alone: bool = False
    """Whether it is also timed as a graph of its own."""

    def graphs(self) -> list[Operator]:
        """Return what is exported and timed."""
        chains = [replace(self.operator, copies=number) for number in self.copies]
        return [*chains, single_of(self.operator)] if self.alone else chains


def plan_cases(backends: Sequence[str], *, quick: bool, memory_bytes: int, skipped: list[str]) -> list[Case]:
    """Return the cases of a sweep, those that are compared side by side; name in `skipped` what is left out, with the reason.

    The network stands amid its layers, so that what drifts within a sweep weighs on both alike.
    """
    cases: dict[Case, None] = {}
    network = [Case(model=NETWORK, backend=backend) for backend in backends]
    layers = list(_v1_lines(quick))
    for place, line in enumerate((*layers, *_cell_lines(quick))):
        if place == len(layers) // 2:
            cases |= dict.fromkeys(network)
        if reason := reason_to_skip(line, memory_bytes):
            skipped.append(reason)
        else:
            graphs = line.graphs()
            cases |= dict.fromkeys(Case(model=g.name, backend=b, batch=line.batch) for b in backends for g in graphs)
    return list(cases)


def copies_of(operator: Operator, batch: int, *, checked: bool = False) -> tuple[int, ...]:
    """Return the numbers of copies of a line: far apart for what is short, few for what is long or has heavy weights.

    `checked` adds one between: the slopes on both sides of it tell whether the line is straight.
    """
    if operator.kind == "linear":
        return (2,)  # and the graph alone: it has no layout to convert, so that it is a chain of one
    each = cost(operator)
    expected_ns = max(batch * each.madds / MADDS_PER_NS, each.bytes(batch=batch) / BYTES_PER_NS)
    there_and_back = operator.stride == 1 and operator.in_channels != operator.out_channels
    longest = LINE_WEIGHT_BYTES // (4 * each.params)
    if expected_ns > 3e6 or longest < 4:
        return (2, 4) if there_and_back else (1, 2)
    if expected_ns > 1e6 or longest < 8:
        return (2, 4, 6) if checked and longest >= 6 else (2, 4)
    if expected_ns > 20e3 or longest < 16:
        return (2, 4, 8) if checked else (2, 8)
    return (4, 8, 16) if checked else (4, 16)


def reason_to_skip(line: Line, memory_bytes: int) -> str:
    """Return why a line is not timed; empty for one that is."""
    each, copies = cost(line.operator), max(line.copies)
    what = replace(line.operator, copies=copies).name + (f" at batch {line.batch}" if line.batch > 1 else "")
    madds, weights_mib = line.batch * each.madds, 4 * each.params / 2**20
    if madds > MOST_MADDS:
        return f"{what} is left out: {madds / 1e9:.1f} G multiply-adds a copy; the grid ends at {MOST_MADDS / 1e9:g}."
    if weights_mib > MOST_WEIGHTS_MIB:
        return f"{what} is left out: {weights_mib:.0f} MiB of weights a copy; the grid ends at {MOST_WEIGHTS_MIB}."
    needed_mib, usable_mib = memory_needed_bytes(line) / 2**20, memory_bytes / 2**20
    if needed_mib > usable_mib:
        return f"{what} is left out: it needs {needed_mib:.0f} MiB of memory, and {usable_mib:.0f} can be used."
    return ""


def memory_needed_bytes(line: Line) -> int:
    """Return the most that a line's longest graph may hold: all weights, and every activation if the runtime reuses none."""
    return max(line.copies) * cost(line.operator).bytes(batch=line.batch)


def doubled(most: int) -> Iterator[int]:
    """Yield 16, 32 … `most`."""
    channels = 16
    while channels <= most:
        yield channels
        channels *= 2


def _v1_lines(quick: bool) -> Iterator[Line]:
    for operator, _ in V1_LAYERS:
        yield Line(operator=operator, copies=copies_of(operator, 1, checked=not quick), alone=True)
        if operator.stride > 1:
            yield from _tail_lines(operator)
    yield from _tail_lines(POOL)


def _cell_lines(quick: bool) -> Iterator[Line]:
    for _, kind, resolution, channels, _, _ in TABLE_3:
        operator = getattr(_square(3, resolution, channels), kind)
        yield Line(operator=operator, copies=copies_of(operator, 1), alone=True)
    alone = {*grid_cells(), *sweep_cells()}
    for cell in cells(quick):
        operators = (cell.standard, cell.separable) if quick and cell.paired else cell.operators()
        for operator in operators:
            copies = copies_of(operator, cell.batch)
            yield Line(operator=operator, copies=copies, batch=cell.batch, alone=cell in alone)
            if operator.stride > 1:
                yield from _tail_lines(operator, cell.batch)


def _tail_lines(operator: Operator, batch: int = 1) -> Iterator[Line]:
    tail = tail_of(operator)
    copies = copies_of(tail, batch)
    yield Line(operator=tail, copies=copies, batch=batch)
    yield Line(operator=replace(tail, side_by_side=1), copies=copies, batch=batch)


def _square(kernel: int, resolution: int, channels: int, batch: int = 1) -> Cell:
    return Cell(kernel=kernel, resolution=resolution, in_channels=channels, out_channels=channels, batch=batch)


def _sweep(n: int) -> Cell:
    return Cell(kernel=3, resolution=SWEEP_RESOLUTION, in_channels=SWEEP_IN, out_channels=n)
