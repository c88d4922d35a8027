"""What this machine's arithmetic can do, measured rather than guessed."""

import statistics
import time
from functools import cache

import tensorflow as tf


def measure_matmul_rate(dtype, size=1024, repetitions=5):
    """Rate of matrix products of `size` × `size`, in floating point operations per second (median)."""
    matrix = tf.ones((size, size), dtype)

    def seconds():
        start = time.perf_counter()
        tf.linalg.matmul(matrix, matrix).numpy()
        return time.perf_counter() - start

    seconds()
    return 2 * size**3 / statistics.median(seconds() for _ in range(repetitions))


@cache
def matmul_rate(dtype):
    """As `measure_matmul_rate`, but measured once only."""
    return measure_matmul_rate(dtype)


@cache
def bfloat16_is_faster():
    """Whether bfloat16 matrix products are clearly faster than float32 ones here.

    True on CPUs with AVX512-BF16 or AMX and on recent GPUs; elsewhere bfloat16
    is emulated, and slower.
    """
    return matmul_rate("bfloat16") > 1.3 * matmul_rate("float32")
