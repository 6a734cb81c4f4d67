"""mnbench: which network, in which runtime and precision, is fastest on this CPU, at what accuracy, and how sure is that?"""

from mnbench.system import telemetry

__version__ = "0.1.0"

telemetry.refuse()
