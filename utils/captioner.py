"""A trained model folder as one object: photos in, captions and attention out."""

import inspect
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from PIL import Image

from utils.data.images import as_photo
from utils.data.tokenizer import Tokenizer, join_words
from utils.errors import ImageError, InputError
from utils.features.cache import encode_files
from utils.features.encoders import ARCHITECTURES, Encoder
from utils.features.quantised_weights import save_compact
from utils.model.confidence import Confidence, features
from utils.model.consensus import Consensus
from utils.model.decoder import AttentionDecoder
from utils.model.model_folder import DECODER_KEYS, ENCODER_KEYS, FORMAT, find_model, read_config
from utils.model.search import UNREPEATED, Search, sample
from utils.model.sentences import best_first, fault

_DECODER_FILE = "decoder.weights.h5"

# Only of an encoder that was trained with the decoder.
_ENCODER_FILE = "encoder.weights.h5"

# Only where captions are ranked by consensus.
_CONSENSUS_FILE = "consensus.h5"

# Only where it was fitted; older folders have none.
_CONFIDENCE_FILE = "confidence.json"

# In the repository, and so found from any working folder.
_DEFAULT_MODEL = Path(__file__).parents[1] / "models" / "flickr8k"

# What `caption` takes as one photo.
PhotoInput = str | Path | Image.Image | np.ndarray

# What the score of a sentence that breaks is lower by: it comes behind all others.
_FAULT = 1000

# Photos whose captions are searched for together.
_BATCH_PHOTOS = 16

# Captions drawn for each one asked for.
_DRAWS = 3


@dataclass(frozen=True)
class Caption:
    """What the model says of one photo.

    Args:
        path: the file; None for an image or array that has none.
        text: a sentence.
        words: the words as the model wrote them.
        log_probability: of all words and the end, natural logarithm.
        attention: float32 (words, rows, columns); for each word where the model
            looked, summing to 1 over the photo.
        score: what captions of a photo are ranked by, the higher the better: log-probability
            a word, and the likeness with what people would say where the model has a consensus.
            1000 lower for a caption that breaks off or names a thing twice.
        photo: the image that was given instead of a file, as a PIL image; None for files.
        confidence: the probability, 0 to 1, that a person would call the caption right, or right in its main point;
            None where the model has none, and for captions drawn by chance.
    """

    path: Path | None
    text: str
    words: tuple[str, ...]
    log_probability: float
    attention: np.ndarray
    score: float | None = None
    photo: Image.Image | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class _Item:
    """What `encode_files` takes; `path` may be an image too."""

    path: Any


class Captioner:
    """An encoder, a vocabulary and a decoder that belong together.

    Args:
        encoder: an Encoder.
        tokenizer: a Tokenizer.
        decoder: an AttentionDecoder with weights.
        max_words: words of a caption at most.
        dataset: what it was trained on.
        training: the recipe, as a dict, for the record.
        consensus: a Consensus by which the captions that a beam finds are ranked, too; None leaves it out.
        confidence: a Confidence, which needs the consensus; None for captions without.

    Example:
        >>> from utils.captioner import Captioner
        >>> from utils.data.images import sample_photo
        >>> captioner = Captioner.from_folder()  # the model of this repository
        >>> photo = sample_photo()  # a path; PIL images and arrays, uint8 (height, width, 3), are fine too
        >>> caption = captioner.caption(photo)
        >>> caption.text.endswith(".")
        True
        >>> caption.attention.shape == (len(caption.words), captioner.encoder.rows, captioner.encoder.columns)
        True

        Several photos give a list, and so do several captions of one photo:

        >>> len(captioner.caption([photo, photo]))
        2
        >>> len(captioner.caption(photo, num_captions=2))
        2
    """

    def __init__(
        self,
        encoder: Encoder,
        tokenizer: Tokenizer,
        decoder: AttentionDecoder,
        max_words: int,
        dataset: str,
        training: dict,
        consensus: Consensus | None = None,
        confidence: Confidence | None = None,
    ) -> None:
        self.encoder, self.tokenizer, self.decoder = encoder, tokenizer, decoder
        self.max_words, self.dataset, self.training, self.consensus = max_words, dataset, training, consensus
        self.confidence = confidence
        self._searches = {}

    def search(
        self,
        beam_size: int = 3,
        batch_size: int = _BATCH_PHOTOS,
        num_captions: int = 1,
        temperature: float | None = None,
        seed: int = 0,
    ) -> Search:
        """The Search with this decoder, compiled once for every combination of arguments; `seed` begins it anew."""
        key = beam_size, batch_size, num_captions, temperature
        if key not in self._searches:
            if temperature is None:
                size, options = beam_size, {"groups": num_captions}
                # A single hypothesis is the first whatever its words are; only its confidence reads the consensus.
                options["consensus"] = self.consensus if beam_size > 1 or self.confidence else None
            else:
                # Some are drawn more than once, so more are drawn than asked for.
                size, options = _DRAWS * num_captions, {"method": sample, "temperature": temperature}
                options |= {"unrepeated": UNREPEATED, "seed": keras.random.SeedGenerator(seed)}
            self._searches[key] = Search(self.decoder, size, self.max_words, batch_size=batch_size, **options)
        self._searches[key].reseed(seed)
        return self._searches[key]

    def caption(
        self,
        photos: PhotoInput | Iterable[PhotoInput],
        beam_size: int = 3,
        num_captions: int = 1,
        temperature: float | None = None,
        seed: int = 0,
        on_error: Callable[[PhotoInput, ImageError], None] | None = None,
    ) -> Caption | list | None:
        """Write a caption, or several, for one photo or many.

        Args:
            photos: a photo or an iterable of photos; each is a file, a PIL image or
                an array, uint8 (height, width, 3), RGB. Any size, mode and orientation.
            beam_size, num_captions, temperature, seed: as for `caption_each`.
            on_error: called with every photo that cannot be read, as (photo,
                ImageError); without it the error is raised.

        Returns:
            For one photo a Caption; for many a list of Caption in their order,
            without unreadable photos. With `num_captions` above 1 each Caption is
            a list of them, best first. None for one photo that cannot be read,
            where `on_error` is given.

        Raises:
            ImageError: a photo cannot be read.
            InputError: something else than photos, or a number out of range.
        """
        results, single = [], _is_one(photos)
        for photo, captions in self.caption_each(photos, beam_size, num_captions, temperature, seed):
            if not isinstance(captions, ImageError):
                results.append(captions[0] if num_captions == 1 else captions)
            elif on_error is None:
                raise captions
            else:
                on_error(photo, captions)
        return next(iter(results), None) if single else results

    def caption_each(
        self,
        photos: Any,
        beam_size: int = 3,
        num_captions: int = 1,
        temperature: float | None = None,
        seed: int = 0,
    ) -> Iterator[tuple[Any, list[Caption] | ImageError]]:
        """Write one or more captions for every photo, batch by batch.

        Several captions come from diverse beam search, the one that is written
        alone among them, or are drawn by chance if there is a temperature. They
        are all different; where the model has fewer to give, there are fewer.

        Args:
            photos: as for `caption`, or objects with the `path` of a file. A
                `path` may raise ImageError.
            beam_size: hypotheses kept for each caption; of no effect on drawn ones.
            num_captions: captions of each photo.
            temperature: draw captions, below 1 likelier ones, above 1 less likely ones.
            seed: of the drawing.

        Yields:
            (photo as given, list of Caption, the highest score first), or (photo, ImageError)
            for one that cannot be read, in order.
        """
        if min(beam_size, num_captions) < 1 or (temperature is not None and temperature <= 0):
            raise InputError("beam_size and num_captions are 1 or more, temperature is above 0")
        photos = [photos] if _is_one(photos) else list(photos)
        files = [_as_item(photo) for photo in photos]
        size = 1 if len(files) == 1 else _BATCH_PHOTOS
        search = self.search(beam_size, size, num_captions, temperature, seed)
        encoded = encode_files(self.encoder, files, size)
        for start in range(0, len(files), size):
            batch = list(itertools.islice(encoded, size))
            good = [(file, regions) for file, regions in batch if not isinstance(regions, ImageError)]
            captions = iter(())
            if good:
                hypotheses = search(np.stack([regions for _, regions in good]))
                captions = iter(self._captions([file.path for file, _ in good], hypotheses, num_captions))
            for photo, (_, regions) in zip(photos[start : start + size], batch):
                result = regions if isinstance(regions, ImageError) else next(captions)
                if _is_image(photo) and not isinstance(result, ImageError):
                    result = [replace(caption, photo=as_photo(photo)) for caption in result]
                yield photo, result

    def caption_regions(
        self, paths: Iterable[Path], regions: np.ndarray, beam_size: int = 3, batch_size: int = _BATCH_PHOTOS
    ) -> list[Caption]:
        """Captions from regions (photos ≤ batch_size, regions, channels) that were extracted before."""
        return [captions[0] for captions in self._captions(paths, self.search(beam_size, batch_size)(regions))]

    def _captions(self, paths, hypotheses, count=1):
        """Up to `count` different Captions of each photo, best first.

        Args:
            paths: photos as `encode_files` takes them.
            hypotheses: Hypotheses of these photos, in `count` groups of the same size.
            count: captions of each photo.
        """
        confidences = [None] * len(paths)
        if self.confidence and not np.isnan(hypotheses.likeness).any():
            confidences = self.confidence(features(hypotheses)).tolist()
        results = []
        for path, confidence, numbers, log_probabilities, maps, scores in zip(paths, confidences, *hypotheses[:4]):
            sentences = [self.tokenizer.decode(each) for each in numbers]
            faults = [fault(words) for words in sentences]
            captions = {}
            for index in best_first(faults, count):
                words = tuple(sentences[index])
                if words in captions or len(captions) == count:
                    continue
                attention = maps[index, : len(words)].reshape(len(words), self.encoder.rows, self.encoder.columns)
                captions[words] = Caption(
                    _file_of(path),
                    join_words(words),
                    words,
                    float(log_probabilities[index]),
                    attention.copy(),  # a view would keep the maps of the whole batch in memory
                    float(scores[index]) - (_FAULT if faults[index] else 0),
                    confidence=confidence and confidence[index],
                )
            results.append(sorted(captions.values(), key=lambda caption: -caption.score))
        return results

    def save(self, folder: str | Path) -> None:
        """Write config.json, vocabulary.txt and the weights, in half precision.

        The encoder's weights are written if they are "trained"; others are to
        be had elsewhere. Those of dense convolutions, as VGG's, take eight bits
        each. Each file is replaced by a rename; the configuration comes last.

        Raises:
            InputError: a weight is not finite, or the folder cannot be written.
        """
        folder, encoder, decoder = Path(folder), self.encoder, self.decoder
        broken = _not_finite(decoder) or (encoder.weights == "trained" and _not_finite(encoder.network))
        if broken:
            raise InputError(f"{folder}: not written, as weights of {broken} are not finite; train anew")
        networks = {_DECODER_FILE: decoder}
        if encoder.weights == "trained":
            encoder = encoder.copy()
            networks[_ENCODER_FILE] = encoder.network
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, network in networks.items():
                partial = folder / f"partial.{name}"
                if name == _ENCODER_FILE and ARCHITECTURES[encoder.name].dense:
                    save_compact(network, partial)
                else:
                    network.save_weights(partial)
                    _halve(partial)
            if _ENCODER_FILE in networks:
                encoder.load_trained(folder / f"partial.{_ENCODER_FILE}")  # for the fingerprint of what is in the file
            config = {
                "format": FORMAT,
                "dataset": self.dataset,
                "encoder": {key: getattr(encoder, key) for key in sorted(ENCODER_KEYS)},
                "decoder": {key: getattr(decoder, key) for key in sorted(DECODER_KEYS)},
                "max_words": self.max_words,
                "consensus": self.consensus is not None,
                "training": self.training,
            }
            if self.consensus:
                self.consensus.save(folder / _CONSENSUS_FILE)
            self.tokenizer.save(folder / "vocabulary.partial")
            (folder / "config.partial").write_text(json.dumps(config, indent=2) + "\n")
            for name in networks:
                os.replace(folder / f"partial.{name}", folder / name)
            os.replace(folder / "vocabulary.partial", folder / "vocabulary.txt")
            os.replace(folder / "config.partial", folder / "config.json")
            self.save_confidence(folder)
            if not self.consensus:
                (folder / _CONSENSUS_FILE).unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: the model cannot be written ({error.strerror or error})") from None

    def save_consensus(self, folder: str | Path) -> None:
        """Write the consensus alone into the folder that this was loaded from."""
        folder = Path(folder)
        try:
            self.consensus.save(folder / _CONSENSUS_FILE)
            config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | {"consensus": True}
            (folder / "config.partial").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            os.replace(folder / "config.partial", folder / "config.json")
        except OSError as error:
            raise InputError(f"{folder}: the model cannot be written ({error.strerror or error})") from None

    def save_confidence(self, folder: str | Path) -> None:
        """Write the confidence alone into the folder that this was loaded from; remove it if there is none."""
        path = Path(folder) / _CONFIDENCE_FILE
        try:
            if self.confidence:
                self.confidence.save(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: the model cannot be written ({error.strerror or error})") from None

    @classmethod
    def from_folder(cls, folder: str | Path = _DEFAULT_MODEL, encoder_weights: str | Path | None = None) -> "Captioner":
        """Load what `save` wrote. No code is run from the folder.

        Args:
            folder: the model folder; that of this repository, whatever the working folder is, if none is named.
            encoder_weights: overrides where the encoder's weights come from.

        Raises:
            InputError: no model there, damaged, of another version, or an
                encoder with other weights than in training.
        """
        folder = find_model(folder)
        config = read_config(folder)
        settings = dict(config["encoder"])
        fingerprint = settings.pop("fingerprint")
        trained = settings["weights"] == "trained"
        if trained and encoder_weights:
            raise InputError(f"{folder}: holds its encoder's weights itself; leave --encoder_weights out")
        optional = [_ENCODER_FILE] * trained + [_CONSENSUS_FILE] * config["consensus"]
        for name in ("vocabulary.txt", _DECODER_FILE, *optional):
            if not (folder / name).is_file():
                raise InputError(f"{folder}: damaged model folder, {name} is missing")
        weights = None if trained else encoder_weights or settings["weights"]
        encoder = Encoder(**settings | {"weights": weights})
        if trained:
            encoder.load_trained(folder / _ENCODER_FILE)
        if encoder.fingerprint != fingerprint:
            raise InputError(
                f"{folder}: was trained with other weights of {encoder.name} than {encoder.weights}; "
                "name the right file with --encoder_weights"
            )
        try:
            tokenizer = Tokenizer.load(folder / "vocabulary.txt")
            decoder = AttentionDecoder(len(tokenizer), **config["decoder"])
            decoder.build((None, encoder.rows * encoder.columns, encoder.channels))
            decoder.load_weights(folder / _DECODER_FILE)
            broken = _not_finite(decoder) or _not_finite(encoder.network)
            if broken:
                raise ValueError(f"weights of {broken} are not finite; train it anew")
            consensus = Consensus.load(folder / _CONSENSUS_FILE) if config["consensus"] else None
            if consensus and (len(consensus.rarity), len(consensus.mean)) != (len(tokenizer), encoder.channels):
                raise ValueError(f"{_CONSENSUS_FILE} is of another model")
        except Exception as error:  # h5py and Keras raise many kinds for a damaged file
            reason = " ".join(str(error).split())[:150]
            raise InputError(f"{folder}: damaged model folder ({reason})") from None
        confidence = Confidence.load(folder / _CONFIDENCE_FILE) if consensus else None
        rest = config["max_words"], config["dataset"], config["training"], consensus, confidence
        return cls(encoder, tokenizer, decoder, *rest)


def _not_finite(network):
    """The path of a variable of a model that holds an infinity or no number at all; None if there is none."""
    found = (v.path for v in network.weights if not np.isfinite(keras.ops.convert_to_numpy(v)).all())
    return next(found, None)


def _halved(weights):
    """Kernels in half precision if they fit.

    Vectors, which take little room, stay as they are: statistics of regions are
    beyond half precision where the encoder's weights are random.
    """
    if weights.ndim < 2 or np.abs(weights).max(initial=0) > np.finfo("float16").max:
        return weights
    return weights.astype("float16")


def _is_image(photo):
    return isinstance(photo, (Image.Image, np.ndarray))


def _is_one(photos):
    """Whether `photos` is a single one: an array of four axes is many."""
    if isinstance(photos, np.ndarray):
        return photos.ndim < 4 and photos.dtype.kind in "uifb"
    return isinstance(photos, str) or not isinstance(photos, Iterable)


def _as_item(photo):
    if isinstance(photo, (str, Path)):
        return _Item(Path(photo))
    if _is_image(photo):
        return _Item(photo)
    # Not `hasattr`, which would fetch a photo whose `path` downloads it.
    if inspect.getattr_static(photo, "path", None) is None:
        raise InputError(f"{type(photo).__name__}: no photo; give a path, a PIL image or a uint8 array")
    return photo


def _file_of(photo):
    """The file of what `encode_files` was given, None where there is none."""
    if _is_image(photo):
        photo = getattr(photo, "filename", None)
    return Path(photo) if photo else None


def _halve(path):
    """Rewrite a file of weights in half precision; Keras casts back as it loads."""
    whole = path.with_suffix(".whole")
    os.replace(path, whole)
    with h5py.File(whole, "r") as source, h5py.File(path, "w") as target:

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                target.create_dataset(name, data=_halved(item[()]))
            else:
                target.require_group(name)
            node = target[name]
            for key, value in item.attrs.items():
                node.attrs[key] = value

        source.visititems(copy)
    whole.unlink()
