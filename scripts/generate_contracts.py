"""Generate libs/contracts from proto/, or check that it is up to date (`--check`)."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
TARGET = ROOT / "libs" / "contracts" / "src"


def generate(target: Path) -> None:
    """Write the messages, the stubs and their types below `target`."""
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    protos = sorted(str(path) for path in PROTO.rglob("*.proto"))
    code = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTO}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_out=quiet:{target}",
            f"--mypy_grpc_out=quiet:{target}",
            "--include_source_info",
            f"--descriptor_set_out={target / 'described'}",
            *protos,
        ]
    )
    if code != 0:
        sys.exit(code)
    described = FileDescriptorSet.FromString((target / "described").read_bytes())
    for package in sorted(target.glob("chargekey/*/v1")):
        (package / "__init__.py").write_text("")
        (package.parent / "__init__.py").write_text("")
    (target / "chargekey" / "py.typed").write_text("")
    told = dict(each for file in described.file for each in comments(file))
    written = json.dumps(told, indent=1, ensure_ascii=False, sort_keys=True)
    (target / "chargekey" / "comments.json").write_text(written + "\n", encoding="utf-8")


def comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Yield the comment above each thing that a file declares, by its full name."""
    for location in file.source_code_info.location:
        # What stands above the package, or above an option, is about nothing with a name.
        if location.leading_comments and len(location.path) % 2 == 0:
            lines = (line.strip() for line in location.leading_comments.strip().splitlines())
            yield _name(file, location.path), "\n".join(lines)


def _name(file: FileDescriptorProto, path: Iterable[int]) -> str:
    """Return the full name of what stands at `path`: numbers of fields and of their entries."""
    names: list[str] = [file.package]
    at: Any = file
    steps = iter(path)
    for number in steps:
        at = getattr(at, at.DESCRIPTOR.fields_by_number[number].name)[next(steps)]
        names.append(at.name)
    return ".".join(names)


def tree(root: Path) -> set[Path]:
    """Every generated file below `root`, as a relative path."""
    return {
        path.relative_to(root)
        for path in root.rglob("*")
        if path.is_file() and path.suffix in {".json", ".py", ".pyi"}
    }


def main() -> None:
    """Generate, or compare a fresh generation with what is checked in."""
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory)
        generate(fresh)
        if "--check" not in sys.argv[1:]:
            shutil.rmtree(TARGET / "chargekey", ignore_errors=True)
            shutil.copytree(fresh / "chargekey", TARGET / "chargekey")
            return
        names = tree(fresh) | tree(TARGET)
        _, different, missing = filecmp.cmpfiles(fresh, TARGET, map(str, names), shallow=False)
        if different or missing:
            stale = "\n  ".join(sorted(different + missing))
            sys.exit(f"libs/contracts is out of date; run `make contracts`:\n  {stale}")


if __name__ == "__main__":
    main()
