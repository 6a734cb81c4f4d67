"""The figures that mnbench promises of itself. Run by hand, with the machine to itself: python tests/benchmarks/figures.py

Prints one line a figure: what, measured, limit. Instead, `--fidelity` compares every runtime at one and two threads with the
plainest loop in a fresh process (8 minutes), and `--benchmark-app` OpenVINO with its own benchmark_app (6 minutes).
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from mnbench import backends, catalog, environment, stats, store
from mnbench.export import ensure_all
from mnbench.measure.launcher import Worker
from mnbench.measure.messages import OpenRequest, RoundRequest
from mnbench.records import Case, Format
from mnbench.stats.intervals import geometric_mean
from tests.builders import spec_of

FIDELITY_MODELS = ("mobilenet_v1_1.0_224", "mobilenet_v2_1.0_224", "nasnet_a_mobile_224")
LAUNCHES = 5
SECONDS = 4.0
FIDELITY_MODEL = "mobilenet_v2_1.0_224"
PLAIN_LAUNCHES = 10
PLAIN_SECONDS = 1.0
HEAD = """
import statistics, sys, time
import numpy as np
path, feed, threads, model, seconds = sys.argv[1:]
feed, threads, seconds = np.load(feed)["input_0"], int(threads), float(seconds)
"""
LOOP = """
until, times = time.perf_counter() + 0.2, []
while time.perf_counter() < until:
    infer()
until = time.perf_counter() + seconds
while time.perf_counter() < until:
    start = time.perf_counter()
    infer()
    times.append(time.perf_counter() - start)
print(statistics.median(times) * 1e3)
"""
PLAIN = {
    "ort": """
import onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = threads
session = ort.InferenceSession(path, options)
name = session.get_inputs()[0].name
infer = lambda: session.run(None, {name: feed})
""",
    "openvino": """
import openvino as ov
compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"})
request = compiled.create_infer_request()
request.set_input_tensor(ov.Tensor(feed, shared_memory=True))  # compiled([feed]) would copy the image in each call
infer = request.infer
""",
    "torch": """
import torch
from mnbench import catalog, zoo
torch.set_num_threads(threads)
module, image = zoo.build(catalog.card(model), weights=torch.load(path, weights_only=True)), torch.from_numpy(feed)
guard = torch.inference_mode()  # without a name it ends at once, and the loop would build graphs of gradients
guard.__enter__()
infer = lambda: module(image)
""",
}
"""What a user would write who has read the first page of the runtime's documentation."""


def main() -> int:
    if "--fidelity" in sys.argv:
        fidelity()
    elif "--benchmark-app" in sys.argv:
        benchmark_app()
    else:
        commands()
    return 0


def commands() -> None:
    """Time the commands of the README and watch the parent while it measures."""
    tell("mnbench --help", min(timed(["--help"])[0] for _ in range(5)), "s", 0.2)
    with tempfile.TemporaryDirectory() as folder:
        for label, limit in (("empty", 60.0), ("full", 10.0)):
            seconds, usage = timed(["compare", "--backends", "ort", "openvino", "--quiet"], cwd=folder)
            directory = max((Path(folder) / "results").iterdir())
            run = store.load(directory)
            tell(f"default command, {label} cache: measuring", run.measuring_s, "s", 90.0)
            tell(f"default command, {label} cache: everything else", seconds - run.measuring_s, "s", limit)
            tell(f"default command, {label} cache: parent's memory", usage["memory_mb"], "MB", 400.0)
            tell(f"default command, {label} cache: parent's CPU while measuring", usage["cpu_pct"], "%", 2.0)
        null = next(r for r in stats.analyse(run).results if r.case.backend == "null")
        tell("null floor", null.latency_ns.value / 1000 if null.latency_ns else float("nan"), "us", 1.0)
        tell("mnbench report", min(timed(["report", str(directory), "--quiet"])[0] for _ in range(3)), "s", 3.0)


def timed(arguments: list[str], cwd: str | None = None) -> tuple[float, dict[str, float]]:
    """Run mnbench; return its wall time in seconds and what its own process (not its children) used."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "mnbench", *arguments], cwd=cwd, stdout=subprocess.DEVNULL)
    usage = {"memory_mb": 0.0, "cpu_pct": 0.0}
    watcher = threading.Thread(target=watch, args=(process.pid, usage))
    watcher.start()
    if process.wait() != 0:
        raise SystemExit(f"mnbench {' '.join(arguments)} failed")
    seconds = time.perf_counter() - start
    watcher.join()
    return seconds, usage


def watch(pid: int, usage: dict[str, float]) -> None:
    """Follow a process: its largest memory, and its CPU share between the first and the last live worker."""
    first = last = None
    try:
        while True:
            status = Path(f"/proc/{pid}/status").read_text()
            usage["memory_mb"] = max(usage["memory_mb"], int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)
            if has_worker(pid):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                now = (time.perf_counter(), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
                first, last = first or now, now
            time.sleep(0.5)
    except (OSError, TypeError):  # it ended
        pass
    if first and last and last[0] > first[0]:
        usage["cpu_pct"] = 100 * (last[1] - first[1]) / (last[0] - first[0])


def has_worker(pid: int) -> bool:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return any(b"mnbench.measure.worker" in Path(f"/proc/{child}/cmdline").read_bytes() for child in children)


def fidelity() -> None:
    """Compare each runtime's medians with those of the plainest loop on the same file and CPUs, launched in turn."""
    cache = Path(os.environ.get("MNBENCH_CACHE", "models"))
    for name, code in PLAIN.items():
        for threads in (1, 2):
            case = Case(model=FIDELITY_MODEL, backend=name, threads=threads)
            wanted = (spec_of(case, seed=0), backends.get(name).format)
            artifact, cpus = ensure_all([wanted], cache)[wanted], environment.choose_cpus(threads)
            logs = []
            for launch in range(PLAIN_LAUNCHES):
                first = plain_ms(code, case, artifact, cache, cpus) if launch % 2 else None
                ours = ours_ms(case, artifact, cache, cpus, PLAIN_SECONDS)
                plain = first or plain_ms(code, case, artifact, cache, cpus)
                logs.append(math.log(ours / plain))
                print(f"  {case.id} launch {launch}: mnbench {ours:.3f} ms, plain loop {plain:.3f} ms", flush=True)
            ratio = geometric_mean(logs, 0.95, "")
            print(
                f"{case.id}: mnbench / plain loop = {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] (limit 0.97 to 1.03)"
            )


def plain_ms(code: str, case: Case, artifact, cache: Path, cpus: tuple[int, ...]) -> float:
    """Return the median of a plain loop in a fresh process, in ms; it has the user's environment and the same CPUs."""
    feed = cache / artifact.feed_path
    command = ["taskset", "-c", ",".join(map(str, cpus)), sys.executable, "-c", HEAD + code + LOOP]
    arguments = [str(cache / artifact.path), str(feed), str(case.threads), case.model, str(PLAIN_SECONDS)]
    return float(subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout.split()[-1])


def benchmark_app() -> None:
    """Compare OpenVINO's medians with those of benchmark_app on the same IR and CPU, launched in turn."""
    cache = Path(os.environ.get("MNBENCH_CACHE", "models"))
    cpus = environment.choose_cpus(1)
    for model in FIDELITY_MODELS:
        case = Case(model=catalog.card(model).name, backend="openvino")
        wanted = (spec_of(case, seed=0), Format.OPENVINO_IR)
        artifact = ensure_all([wanted], cache)[wanted]
        logs = []
        for launch in range(LAUNCHES):
            first = theirs_ms(cache / artifact.path, cpus) if launch % 2 else None
            ours = ours_ms(case, artifact, cache, cpus)
            theirs = first or theirs_ms(cache / artifact.path, cpus)
            logs.append(math.log(ours / theirs))
            print(f"  {model} launch {launch}: mnbench {ours:.3f} ms, benchmark_app {theirs:.3f} ms", flush=True)
        cost_us = call_cost_us(cache / artifact.path, cpus)
        print(f"  {model}: a call from Python takes {cost_us:.0f} us more than the latency OpenVINO states")
        ratio = geometric_mean(logs, 0.95, "")
        print(f"{model}: mnbench / benchmark_app = {ratio.value:.4f} [{ratio.low:.4f}, {ratio.high:.4f}] (limit 0.98 to 1.02)")


def call_cost_us(path: Path, cpus: tuple[int, ...]) -> float:
    """Return what the Python call adds to the latency that the request itself states, which is what benchmark_app reports."""
    code = f"""
import os, statistics, time
os.sched_setaffinity(0, {set(cpus)})
import mnbench
import openvino as ov
settings = dict(INFERENCE_NUM_THREADS=1, NUM_STREAMS=1, INFERENCE_PRECISION_HINT="f32", ENABLE_CPU_PINNING=False)
request = ov.Core().compile_model({str(path)!r}, "CPU", settings).create_infer_request()
extra_us = []
for _ in range(300):
    start = time.perf_counter_ns()
    request.infer(share_outputs=True)
    extra_us.append((time.perf_counter_ns() - start) / 1e3 - request.latency * 1e3)
print(statistics.median(extra_us[50:]))
"""
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def ours_ms(case: Case, artifact, cache: Path, cpus: tuple[int, ...], seconds: float = SECONDS) -> float:
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(case, Path(folder) / "log")
        try:
            worker.open(OpenRequest(case=case, artifact=artifact, cache=str(cache), cpus=cpus), timeout_s=60)
            reply = worker.round(RoundRequest(settle_ms=50.0, target_ms=seconds * 1000), timeout_s=60)
        finally:
            worker.close()
    return statistics.median(reply.latencies_ns) / 1e6


def theirs_ms(path: Path, cpus: tuple[int, ...]) -> float:
    """Return the median of benchmark_app, pinned as our workers are. Its telemetry is given no consent."""
    tool = shutil.which("benchmark_app") or str(Path(sys.executable).with_name("benchmark_app"))
    with tempfile.TemporaryDirectory() as folder:
        command = ["taskset", "-c", ",".join(map(str, cpus)), tool, "-m", str(path), "-d", "CPU", "-hint", "none",
                   "-nthreads", "1", "-nstreams", "1", "-infer_precision", "f32", "-api", "sync", "-t", f"{SECONDS:g}",
                   "-json_stats", "-report_type", "no_counters", "-report_folder", folder]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, text=True)
        (report,) = Path(folder).glob("*.json")
        return float(json.loads(report.read_text())["execution_results"]["latency (ms)"])


def tell(what: str, value: float, unit: str, limit: float) -> None:
    print(f"{what}: {value:.3g} {unit} (limit {limit:g}){'' if value <= limit else '  MISSED'}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
