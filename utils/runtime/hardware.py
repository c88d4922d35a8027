"""What this machine's arithmetic can do, measured rather than guessed."""

import statistics
import time
from functools import cache

from keras import ops

_LEAST_SECONDS, _LARGEST_SIZE = 0.002, 8192

_DTYPES, _TURNS = ("float32", "bfloat16"), 4


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
def _best_rates():
    """The rates of float32 and bfloat16, measured in turns, the best of each.

    What else the machine does makes some products slower, and none faster; it
    must not decide which type is the faster one.
    """
    turns = [{dtype: measure_matmul_rate(dtype, repetitions=2) for dtype in _DTYPES} for _ in range(_TURNS)]
    return {dtype: max(turn[dtype] for turn in turns) for dtype in _DTYPES}


def matmul_rate(dtype):
    """As `measure_matmul_rate` of float32 or bfloat16, but measured once only, and the best of several turns."""
    return _best_rates()[dtype]


def bfloat16_is_faster():
    """Whether bfloat16 matrix products are clearly faster than float32 ones here.

    True on CPUs with AVX512-BF16 or AMX and on recent GPUs; elsewhere bfloat16
    is emulated, and slower.
    """
    return matmul_rate("bfloat16") > 1.3 * matmul_rate("float32")


def faster_policy():
    """Keras's dtype policy for what is trained here: bfloat16 beside float32 variables where that is faster."""
    return "mixed_bfloat16" if bfloat16_is_faster() else "float32"
