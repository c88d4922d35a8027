"""Describe the machine on which the benchmark runs."""

import os
import platform
import statistics
from importlib.metadata import version
from pathlib import Path

import tensorflow as tf

from utils.runtime.hardware import measure_matmul_rate


def describe_machine(load):
    """Describe processor, memory, GPUs and software versions, and measure the speed of matrix products in GFLOP/s.

    Args:
        load: load average of the machine before the benchmark, a float.

    Returns:
        A dict that can be written as JSON.
    """
    rates = {
        name: statistics.median(measure_matmul_rate(name) for _ in range(5)) / 1e9 for name in ("float32", "bfloat16")
    }
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpus": [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        ],
        "matrix_products_gflops": rates,
        "load_before": round(load, 2),
        "system": platform.platform(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in ("tensorflow", "keras", "numpy")},
    }


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
