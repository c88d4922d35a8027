"""What an encoder is taught with photos: to give the regions that another encoder, its teacher, gives.

Romero et al., "FitNets: hints for thin deep nets", 2015, section 2.2: a layer
of the student is made to predict one of the teacher, by a linear layer on top.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from keras import ops

from utils.data.images import load_pixels
from utils.errors import InputError
from utils.training.pretraining.views import WHOLE, draw_views, resample, view, whole_views

# Photos whose regions give the channels' mean and deviation.
_STATISTICS_PHOTOS = 512

_BATCH_PHOTOS = 32

# Photos are kept in memory once they were read, up to this: 10,000 of 224 pixels.
_KEPT_BYTES = 1_500_000_000


class TeacherRegions:
    """A teacher's regions of photos, which are cropped, mirrored, lit and mixed anew each time they come.

    Photos are cropped from what the teacher takes of them whole, so that small crops are a little blurred.

    Args:
        teacher: an Encoder; if it is one that takes the mean with the mirror image, it does not do so here.
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
        self.teacher, self.size, self.channels = teacher.copy(mirror=False), student.image_size, teacher.channels
        self.photos, self.validation_photos = list(photos), list(validation_photos)
        self.network = self.teacher.network
        self.network.trainable = False
        self._pool, self._kept = ThreadPoolExecutor(os.cpu_count()), {}
        known = self._read(self.photos[:_STATISTICS_PHOTOS])
        regions = np.concatenate(
            [self.teacher.encode(known[i : i + _BATCH_PHOTOS]) for i in range(0, len(known), _BATCH_PHOTOS)]
        )
        self._mean = regions.mean(axis=(0, 1))
        deviation = regions.std(axis=(0, 1))
        self._scale = 1 / np.maximum(deviation, 0.1 * deviation.mean())

    def _read(self, paths):
        """Photos as the teacher takes them: uint8 (photos, size, size, 3)."""

        def read(path):
            pixels = self._kept.get(path)
            if pixels is None:
                pixels = load_pixels(path, self.teacher.image_size)
                if (len(self._kept) + 1) * pixels.nbytes <= _KEPT_BYTES:
                    self._kept[path] = pixels
            return pixels

        return np.stack(list(self._pool.map(read, paths)))

    def batch(self, generator, count):
        """Photos, uint8 (count, size, size, 3) at the teacher's size, and how they are to be varied, for `lesson`."""
        chosen = generator.integers(len(self.photos), size=count)
        return self._read([self.photos[number] for number in chosen]), *draw_views(generator, count)

    def validation(self, count):
        """Photos that are not learnt from, whole: as `batch`."""
        photos = self._read(self.validation_photos[:count])
        return photos, *whole_views(len(photos))

    def lesson(self, photos, boxes, light, shares):
        """Of a `batch`, what the student sees and the teacher's standardised regions.

        Returns:
            Float32 (batch, size, size, 3) at the student's size, and
            (batch, rows, columns, channels).
        """
        teacher = self.teacher
        pixels = view(photos, boxes, light, shares, teacher.image_size)
        regions = ops.reshape(teacher.forward(pixels), (-1, teacher.rows, teacher.columns, teacher.channels))
        seen = resample(pixels, ops.zeros_like(boxes) + WHOLE, self.size)
        return seen, ops.stop_gradient((regions - self._mean) * self._scale)

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
