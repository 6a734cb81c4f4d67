"""What an ARM core is: its name from implementer, part, variant and revision, as /proc/cpuinfo gives them for each CPU.

The numbers are fields of the register MIDR_EL1, whose values each core's technical reference manual states. Linux collects
them in arch/arm64/include/asm/cputype.h, and util-linux in sys-utils/lscpu-arm.c; the names here are those of the latter.
"""

from __future__ import annotations

from collections.abc import Mapping

from mnbench.environment.kernel import whole

IMPLEMENTERS = {
    0x41: "ARM", 0x42: "Broadcom", 0x43: "Cavium", 0x46: "Fujitsu", 0x48: "HiSilicon", 0x4E: "NVIDIA", 0x50: "APM",
    0x51: "Qualcomm", 0x53: "Samsung", 0x56: "Marvell", 0x61: "Apple", 0x6D: "Microsoft", 0x70: "Phytium", 0xC0: "Ampere",
}  # fmt: skip
PARTS = {
    (0x41, 0xD03): "Cortex-A53", (0x41, 0xD04): "Cortex-A35", (0x41, 0xD05): "Cortex-A55", (0x41, 0xD06): "Cortex-A65",
    (0x41, 0xD07): "Cortex-A57", (0x41, 0xD08): "Cortex-A72", (0x41, 0xD09): "Cortex-A73", (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76", (0x41, 0xD0C): "Neoverse-N1", (0x41, 0xD0D): "Cortex-A77", (0x41, 0xD0E): "Cortex-A76AE",
    (0x41, 0xD40): "Neoverse-V1", (0x41, 0xD41): "Cortex-A78", (0x41, 0xD42): "Cortex-A78AE", (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510", (0x41, 0xD47): "Cortex-A710", (0x41, 0xD48): "Cortex-X2", (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4B): "Cortex-A78C", (0x41, 0xD4C): "Cortex-X1C", (0x41, 0xD4D): "Cortex-A715", (0x41, 0xD4E): "Cortex-X3",
    (0x41, 0xD4F): "Neoverse-V2", (0x41, 0xD80): "Cortex-A520", (0x41, 0xD81): "Cortex-A720", (0x41, 0xD82): "Cortex-X4",
    (0x41, 0xD84): "Neoverse-V3", (0x41, 0xD85): "Cortex-X925", (0x41, 0xD87): "Cortex-A725", (0x41, 0xD8E): "Neoverse-N3",
    (0x43, 0x0AF): "ThunderX2-99xx", (0x46, 0x001): "A64FX", (0x48, 0xD01): "Kunpeng-920", (0x4E, 0x004): "Carmel",
    (0x51, 0x802): "Kryo-3XX-Gold", (0x51, 0x803): "Kryo-3XX-Silver", (0x51, 0x804): "Kryo-4XX-Gold",
    (0x51, 0x805): "Kryo-4XX-Silver", (0x61, 0x022): "Icestorm-M1", (0x61, 0x023): "Firestorm-M1",
    (0x61, 0x032): "Blizzard-M2", (0x61, 0x033): "Avalanche-M2", (0xC0, 0xAC3): "Ampere-1", (0xC0, 0xAC4): "Ampere-1a",
}  # fmt: skip


def core_name(fields: Mapping[str, str]) -> str | None:
    """Return the name of one CPU's core, such as `ARM Cortex-A76 r4p1`, from its lines of /proc/cpuinfo.

    A core that `PARTS` lacks keeps its numbers. None where the lines are not those of an ARM core.
    """
    implementer, part = _hexadecimal(fields.get("CPU implementer")), _hexadecimal(fields.get("CPU part"))
    if implementer is None or part is None:
        return None
    maker = IMPLEMENTERS.get(implementer, f"implementer {implementer:#04x}")
    variant, revision = _hexadecimal(fields.get("CPU variant")), whole(fields.get("CPU revision"))
    stepping = "" if variant is None or revision is None else f" r{variant}p{revision}"
    return f"{maker} {PARTS.get((implementer, part), f'part {part:#05x}')}{stepping}"


def _hexadecimal(text: str | None) -> int | None:
    try:
        return int(text or "", 16)
    except ValueError:
        return None
