"""Where and with what it was measured: figures mean nothing without it."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import zmq

import dynamokv


def machine() -> dict[str, str | int]:
    """The hardware and the kernel."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _cores(),
        "kernel": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
    }


def versions() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "pyzmq": zmq.__version__,
        "libzmq": zmq.zmq_version(),
        "cbor2": metadata.version("cbor2"),
        "xxhash": metadata.version("xxhash"),
        "zstandard": metadata.version("zstandard"),
        "rocksdict": _version_or_none("rocksdict"),
        "dynamokv": dynamokv.__version__,
    }


def _version_or_none(package: str) -> str:
    """Of what only some workloads need."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def _cores() -> int:
    return os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.processor() or "unknown")
