"""Choose bfloat16 or float32 for matrix products by the hardware's features, and measure the hardware's speed."""

import statistics
import time
from functools import cache
from pathlib import Path

import keras
from keras import ops

# A product that takes less time than this, in seconds, is too short to measure, so a larger matrix is used. The second
# value is the largest number of rows and columns.
_LEAST_SECONDS, _LARGEST_SIZE = 0.002, 8192

# Linux's names of the processor instructions that multiply bfloat16 matrices.
_CPU_INFO, _BFLOAT16_FLAGS = Path("/proc/cpuinfo"), {"amx_bf16", "avx512_bf16"}

# The first compute capability of NVIDIA GPUs with fast bfloat16 products: Ampere.
_BFLOAT16_CAPABILITY = 8


def measure_matmul_rate(dtype, size=1024, repetitions=5):
    """Measure the speed of matrix products.

    Args:
        dtype: the type of the matrices, such as "float32".
        size: the number of rows and columns of the matrices. It is doubled
            until a product takes long enough to be measured.
        repetitions: the number of measurements. Their median is used.

    Returns:
        Floating-point operations per second.
    """
    matrix = ops.ones((size, size), dtype)

    def seconds():
        start = time.perf_counter()
        # Fetching one number waits for the product. Fetching all of them would take longer than the product.
        ops.convert_to_numpy(ops.cast(ops.matmul(matrix, matrix)[0, 0], "float32"))
        return time.perf_counter() - start

    seconds()
    median = statistics.median(seconds() for _ in range(repetitions))
    if median < _LEAST_SECONDS and size < _LARGEST_SIZE:
        return measure_matmul_rate(dtype, 2 * size, repetitions)
    return 2 * size**3 / median


@cache
def bfloat16_is_faster():
    """Return True if this machine multiplies bfloat16 matrices faster than float32 matrices.

    This is true for NVIDIA GPUs since Ampere. On machines without a GPU, it is
    true for CPUs with the instructions AVX512-BF16 or AMX. Other processors
    emulate bfloat16, which is slower. Nothing is measured, so the answer is
    always the same on one machine.
    """
    capabilities = _gpu_capabilities()
    if capabilities:
        return all(capability >= _BFLOAT16_CAPABILITY for capability in capabilities)
    return bool(_BFLOAT16_FLAGS & _cpu_flags())


def _gpu_capabilities():
    """Return NVIDIA's major compute capability of each GPU, such as 8, as a list of int. It is 0 for unknown GPUs."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
        return [each.get("compute_capability", (0,))[0] for each in details]
    import jax

    gpus = [device for device in jax.devices() if device.platform == "gpu"]
    return [int(float(getattr(gpu, "compute_capability", 0))) for gpu in gpus]


def _cpu_flags():
    """Return a set of the processor's features, such as "avx2". It is empty if the system does not list them."""
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())


def choose_precision(asked="auto"):
    """Choose the precision of matrix products.

    Args:
        asked: "float32", "bfloat16", or "auto" for the one that is faster on this machine.

    Returns:
        "float32" or "bfloat16".
    """
    if asked == "auto":
        return "bfloat16" if bfloat16_is_faster() else "float32"
    return asked


def dtype_policy(precision="auto"):
    """Return the name of Keras's dtype policy for training.

    Args:
        precision: "float32", "bfloat16", or "auto" for the one that is faster on this machine.

    Returns:
        "float32" or "mixed_bfloat16". The latter computes in bfloat16 and keeps variables in float32.
    """
    precision = choose_precision(precision)
    return precision if precision == "float32" else f"mixed_{precision}"
