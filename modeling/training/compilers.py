"""What `training.compile` needs on the machine; apart from compiled.py, whose import takes the compiler's own."""

from __future__ import annotations

import importlib.util
import os
import shutil

import torch

from modeling.errors import UsageError


def require_compiler(device: torch.device) -> None:
    """UsageError where torch.compile has nothing to compile with."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("g++", "clang++")), None)
    if compiler is None or shutil.which(compiler.split()[0]) is None:
        missing = (
            f"$CXX names {compiler}, which is not there" if compiler else "there is no C++ compiler (g++, clang++)"
        )
        raise UsageError(f"training.compile: {missing}; install one, or set training.compile=off")
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise UsageError("training.compile on a GPU needs the package triton; install it, or set training.compile=off")
