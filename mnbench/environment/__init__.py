"""What host this is, as far as it decides a figure, and what about it spoils measuring.

`host` captures the record, `state` reads what changes from minute to minute, `budget` says which CPUs may be used, `findings`
judges a record, `changes` tells two apart. Every reader takes `root`, so that a test can hand it a made-up /proc and /sys.
"""

from mnbench.environment.budget import cgroup_cpu_quota, cgroup_folders, choose_cpus, cpu_budget
from mnbench.environment.changes import Difference, different, host_differences, setting_differences
from mnbench.environment.cpu_lists import parse_cpus
from mnbench.environment.cpu_sets import cpu_sets
from mnbench.environment.findings import findings, placement, spans, warnings_of
from mnbench.environment.host import PACKAGES, capture, last_level_cache_bytes, package_version
from mnbench.environment.kernel import clock_source
from mnbench.environment.memory import available_bytes as available_memory_bytes
from mnbench.environment.memory import limit_bytes as memory_limit_bytes
from mnbench.environment.memory import oom_kills
from mnbench.environment.state import half_a_second
from mnbench.environment.topology import kinds

__all__ = [
    "PACKAGES",
    "Difference",
    "available_memory_bytes",
    "capture",
    "cgroup_cpu_quota",
    "cgroup_folders",
    "choose_cpus",
    "clock_source",
    "cpu_budget",
    "cpu_sets",
    "different",
    "findings",
    "half_a_second",
    "host_differences",
    "kinds",
    "last_level_cache_bytes",
    "memory_limit_bytes",
    "oom_kills",
    "package_version",
    "parse_cpus",
    "placement",
    "setting_differences",
    "spans",
    "warnings_of",
]
