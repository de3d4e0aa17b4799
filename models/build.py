"""Build the models that come with the repository, where no version of them exists.

    python models/build.py [--force] [NAME ...]

Building needs the `optimize` extra; when nothing is missing, nothing heavy is imported.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

MODELS = Path(__file__).resolve().parent
NEEDED = ("lightgbm", "onnx", "onnxmltools", "onnxruntime", "pandas", "skl2onnx", "sklearn")


def buildable(models: Path) -> list[str]:
    """The models that have a script which makes them."""
    return sorted(script.parent.name for script in models.glob("*/train.py"))


def has_version(folder: Path) -> bool:
    """Whether any numbered folder holds an artefact."""
    return any(
        version.name.isdecimal() and any(version.glob("model.*")) for version in folder.iterdir()
    )


def build(folder: Path) -> int:
    """Run the model's script, which writes version 1; return its exit status."""
    print(f"building {folder.name} ...", flush=True)
    # -B: what is left behind in a model folder should be the model.
    return subprocess.run([sys.executable, "-B", str(folder / "train.py")], check=False).returncode


def main(arguments: Sequence[str] | None = None, models: Path = MODELS) -> int:
    parser = argparse.ArgumentParser(
        description="Build the models that come with the repository, where no version exists."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all that can be built")
    parser.add_argument("--force", action="store_true", help="build version 1 again")
    options = parser.parse_args(arguments)

    known = buildable(models)
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"no model named {', '.join(unknown)}; there are {', '.join(known)}")
    wanted = [
        name
        for name in dict.fromkeys(options.names or known)
        if options.force or not has_version(models / name)
    ]
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if wanted and missing:
        print(
            f"building {', '.join(wanted)} needs {', '.join(missing)}: install the extras with"
            " `pip install -e '.[cpu,optimize]'`",
            file=sys.stderr,
        )
        return 1
    failed = [name for name in wanted if build(models / name) != 0]
    if failed:
        print(f"could not build {', '.join(failed)}; the reason is above", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
