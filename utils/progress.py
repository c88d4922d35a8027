"""Progress bars. Functions that take long have an argument `progress`, which they call as tqdm."""

from functools import partial

from tqdm import tqdm

# The default `progress`, which shows nothing.
silent = partial(tqdm, disable=True)
