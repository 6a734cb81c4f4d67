"""Whether this host is a guest of a hypervisor: from CPU flags, the firmware's tables (DMI) or the device tree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mnbench.environment.kernel import read

VENDORS = (
    "QEMU", "KVM", "OpenStack", "KubeVirt", "Amazon EC2", "Google", "VMware", "VMW", "innotek GmbH", "VirtualBox", "Xen",
    "Bochs", "Parallels", "BHYVE", "Hyper-V", "Virtual Machine", "Apple Virtualization", "Alibaba Cloud", "DigitalOcean",
)  # fmt: skip
"""How DMI fields of guests begin; systemd-detect-virt goes by most of these (systemd, src/basic/virt.c)."""
DMI = ("product_name", "sys_vendor", "board_vendor", "bios_vendor")
METAL = ".metal"
"""How the product's name ends on a whole machine of a cloud, whose other fields are those of its guests."""


def virtualisation(cpu: Mapping[str, str], root: Path) -> str | None:
    """Return the hypervisor's or cloud's name, "" where there is no hypervisor, None where that is unknown.

    `cpu` has the fields of a CPU in /proc/cpuinfo. On x86 a flag says it; elsewhere DMI or the device tree, if there is one.
    """
    vendor = read(root / "sys/class/dmi/id/sys_vendor")
    if "flags" in cpu:
        return (vendor or "hypervisor") if "hypervisor" in cpu["flags"].split() else ""
    told = [text for name in DMI if (text := read(root / "sys/class/dmi/id" / name))]
    if told:
        guest = any(text.startswith(VENDORS) for text in told) and not any(text.endswith(METAL) for text in told)
        return (vendor or told[0]) if guest else ""
    return _in_device_tree(root)


def _in_device_tree(root: Path) -> str | None:
    """Return what the device tree says: a node of the hypervisor, or the board that QEMU and its kind make up."""
    tree = root / "sys/firmware/devicetree/base"
    hypervisor, compatible = read(tree / "hypervisor/compatible"), read(tree / "compatible")
    if hypervisor:
        return hypervisor.split("\0")[0]
    if compatible is None:
        return None
    made_up = any(text in compatible for text in ("linux,dummy-virt", "qemu,")) or bool(list(tree.glob("fw-cfg*")))
    return compatible.split("\0")[0] if made_up else ""
