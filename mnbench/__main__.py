"""`python -m mnbench` and the command `mnbench`.

Only `os` and `sys` are imported until it is known that no file stands in for one of Python's own modules.
"""

import os
import sys


def main() -> int:
    """Run the command line; return its exit code."""
    if not sys.flags.safe_path and sys.path[0] == os.getcwd():  # noqa: PTH109 - pathlib is not loaded yet
        del sys.path[0]  # -m put it there: a json.py that lies in the current folder is not Python's own
    shadows = shadowing(os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if shadows:
        path, name = shadows[0]
        sys.stderr.write(
            f"mnbench: {path} stands in for the module {name}, which mnbench needs: "
            "rename it, or take its folder out of PYTHONPATH.\n"
        )
        return 2
    # numpy's threads only add up figures here; where a limit of processes forbids them, OpenBLAS would interrupt this one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from mnbench.cli.main import main as run

    return run()


NEEDED = ("jinja2", "matplotlib", "msgspec", "numpy", "onnx", "onnxruntime", "openvino", "pandas", "rich", "scipy", "torch")
"""Packages that a lone file may stand in for by its name; a folder of such a name may be the package itself."""


def shadowing(folders: list[str]) -> list[tuple[str, str]]:
    """Return (file, module) for each entry of these folders that Python would import instead of a module that is needed here.

    A folder with the metadata of an installed package is left alone.
    """
    own = set(sys.stdlib_module_names) - {"this", "antigravity"}
    found = []
    for folder in filter(None, folders):
        try:
            entries = sorted(os.listdir(folder))  # noqa: PTH208 - pathlib is not loaded yet
        except OSError:
            continue
        if any(entry.endswith((".dist-info", ".egg-info")) for entry in entries):
            continue
        for entry in entries:
            path, name = os.path.join(folder, entry), entry.removesuffix(".py")  # noqa: PTH118
            alone = entry.endswith(".py") and (name in own or name in NEEDED)
            if alone or (name in own and os.path.isfile(os.path.join(path, "__init__.py"))):  # noqa: PTH113, PTH118
                found.append((path, name))
    return found


if __name__ == "__main__":
    sys.exit(main())
