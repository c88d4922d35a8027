"""What an encoder is taught with photos: to give the regions that another encoder, its teacher, gives.

Romero et al., "FitNets: hints for thin deep nets", 2015, section 2.2: a layer
of the student is made to predict one of the teacher, by a linear layer on top.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from keras import ops
from PIL import Image

from utils.augmentation import augment
from utils.errors import InputError
from utils.images import open_photo, to_pixels

# Photos whose regions give the channels' mean and deviation.
_STATISTICS_PHOTOS = 512

_BATCH_PHOTOS = 32


class TeacherRegions:
    """A teacher's regions of photos, which are cropped, mirrored and lit anew each time they come.

    Args:
        teacher: an Encoder.
        student: an Encoder with a grid of as many rows and columns.
        photos: files to learn from.
        validation_photos: others, to measure on.

    Raises:
        InputError: the grids differ.
        ImageError: a photo cannot be read.
    """

    name = "teacher"

    def __init__(self, teacher, student, photos, validation_photos):
        if (teacher.rows, teacher.columns) != (student.rows, student.columns):
            raise InputError(
                f"the teacher has {teacher.rows} × {teacher.columns} regions, the student {student.rows} × "
                f"{student.columns}: choose another --image_size"
            )
        self.teacher, self.size, self.channels = teacher, student.image_size, teacher.channels
        self.photos, self.validation_photos = list(photos), list(validation_photos)
        self._pool = ThreadPoolExecutor(os.cpu_count())
        regions = self._encode(self._open_whole(self.photos[:_STATISTICS_PHOTOS]))
        self._mean = regions.mean(axis=(0, 1, 2))
        deviation = regions.std(axis=(0, 1, 2))
        self._scale = 1 / np.maximum(deviation, 0.1 * deviation.mean())

    def _open_whole(self, paths):
        size = self.teacher.image_size
        return np.stack(list(self._pool.map(lambda path: to_pixels(open_photo(path, 2 * size), size), paths)))

    def _encode(self, pixels):
        """The teacher's regions, float32 (photos, rows, columns, channels)."""
        teacher = self.teacher
        parts = [teacher.encode(pixels[i : i + _BATCH_PHOTOS]) for i in range(0, len(pixels), _BATCH_PHOTOS)]
        return np.concatenate(parts).reshape(len(pixels), teacher.rows, teacher.columns, teacher.channels)

    def _targets(self, pixels):
        return ((self._encode(pixels) - self._mean) * self._scale).astype("float32")

    def _for_student(self, pixels):
        """The same pictures at the student's size."""
        return np.stack([to_pixels(Image.fromarray(each), self.size) for each in pixels])

    def batch(self, generator, count):
        """Varied photos, uint8 (count, size, size, 3), and their standardised regions.

        The latter are float32 (count, rows, columns, channels).
        """
        chosen = generator.integers(len(self.photos), size=count)

        def vary(number, own):
            size = self.teacher.image_size
            return np.asarray(augment(open_photo(self.photos[number], 2 * size), size, own))

        pixels = np.stack(list(self._pool.map(vary, chosen, generator.spawn(count))))
        return self._for_student(pixels), self._targets(pixels)

    def validation(self, count):
        """Photos that are not learnt from, whole: as `batch`."""
        pixels = self._open_whole(self.validation_photos[:count])
        return self._for_student(pixels), self._targets(pixels)

    @staticmethod
    def loss(targets, outputs):
        """The mean squared error, a scalar: 1 for a student that knows no more than the mean."""
        return ops.mean(ops.square(targets - outputs))

    @staticmethod
    def measure(targets, outputs):
        """The share of the regions' variance that is told."""
        return {
            "explained_variance": float(1 - np.square(targets - outputs).mean() / targets.var(axis=(0, 1, 2)).mean())
        }
