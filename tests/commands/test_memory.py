import sys

import pytest

from tests.fresh_process import FreshProcess
from utils import console


def print_page_faults():
    """Print how many memory pages the system gives to ten operations whose results take 64 MB each."""
    console.import_keras()
    import resource

    import tensorflow as tf

    inputs = tf.ones((16, 1024, 1024))
    for repetition in range(12):
        if repetition == 2:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        tf.nn.relu(inputs)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count pages in other ways")
@pytest.mark.slow
def test_memory_of_one_step_serves_the_next():
    status, output, error = FreshProcess(print_page_faults).finish()
    assert status == 0, error
    pages = 10 * 64 * 2**20 // 4096
    assert int(output) < 0.02 * pages
