"""What this machine's arithmetic can do."""

import statistics
import time
from functools import cache
from pathlib import Path

import keras
from keras import ops

_LEAST_SECONDS, _LARGEST_SIZE = 0.002, 8192

_TURNS = 4

# What Linux calls the instructions of a processor that multiply bfloat16 matrices.
_CPU_INFO, _BFLOAT16_FLAGS = Path("/proc/cpuinfo"), {"amx_bf16", "avx512_bf16"}

# NVIDIA's compute capability from which bfloat16 is multiplied faster: Ampere.
_BFLOAT16_CAPABILITY = 8


def measure_matmul_rate(dtype, size=1024, repetitions=5):
    """Rate of matrix products of `size` × `size`, in floating point operations per second (median).

    Where those are over too soon to be measured, as on GPUs, larger ones are taken.
    """
    matrix = ops.ones((size, size), dtype)

    def seconds():
        start = time.perf_counter()
        # One number, for the wait; to fetch all would take longer than the product.
        ops.convert_to_numpy(ops.cast(ops.matmul(matrix, matrix)[0, 0], "float32"))
        return time.perf_counter() - start

    seconds()
    median = statistics.median(seconds() for _ in range(repetitions))
    if median < _LEAST_SECONDS and size < _LARGEST_SIZE:
        return measure_matmul_rate(dtype, 2 * size, repetitions)
    return 2 * size**3 / median


@cache
def matmul_rate(dtype):
    """As `measure_matmul_rate`, but measured once only, and the best of several turns.

    What else the machine does makes some products slower, and none faster.
    """
    return max(measure_matmul_rate(dtype, repetitions=2) for _ in range(_TURNS))


@cache
def bfloat16_is_faster():
    """Whether the GPU, or else the processor, has instructions that multiply bfloat16 matrices.

    True on CPUs with AVX512-BF16 or AMX and on NVIDIA's GPUs from Ampere on;
    elsewhere bfloat16 is emulated, and slower. Nothing is measured, so that the
    answer is the same every time.
    """
    capabilities = _gpu_capabilities()
    if capabilities:
        return all(capability >= _BFLOAT16_CAPABILITY for capability in capabilities)
    return bool(_BFLOAT16_FLAGS & _cpu_flags())


def _gpu_capabilities():
    """The major compute capability of every GPU, 0 where it is not known."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
        return [each.get("compute_capability", (0,))[0] for each in details]
    import jax

    gpus = [device for device in jax.devices() if device.platform == "gpu"]
    return [int(float(getattr(gpu, "compute_capability", 0))) for gpu in gpus]


def _cpu_flags():
    """The instruction sets that the processor names; none where the system does not list them."""
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())


def choose_precision(asked="auto"):
    """ "float32" or "bfloat16": as asked, or what this machine is made for if that is "auto"."""
    if asked == "auto":
        return "bfloat16" if bfloat16_is_faster() else "float32"
    return asked


def dtype_policy(precision="auto"):
    """Keras's dtype policy of what is trained: with bfloat16, products are in it and variables in float32."""
    precision = choose_precision(precision)
    return precision if precision == "float32" else f"mixed_{precision}"
