"""The class `Captioner`: a trained model that writes captions of photos and shows where it looked for each word."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from utils.runtime import quiet_keras  # noqa: F401  # isort: skip  # before Keras, which it imports quietly
import keras
import numpy as np

from utils.data.images import as_photo
from utils.data.photo_input import PhotoInput, as_item, file_of, is_in_memory, is_one_photo
from utils.data.tokenizer import Tokenizer, join_words
from utils.errors import ImageError, InputError, reason
from utils.features.architectures import ARCHITECTURES
from utils.features.cache import encode_files
from utils.features.encoders import Encoder
from utils.features.quantised_weights import save_compact
from utils.files import make_folder, replacing
from utils.model.caption import Caption
from utils.model.caption_faults import best_first, fault
from utils.model.confidence import Confidence, features
from utils.model.consensus import Consensus
from utils.model.decoder import AttentionDecoder
from utils.model.model_folder import DECODER_KEYS, ENCODER_KEYS, FORMAT, find_model, read_config
from utils.model.search import UNREPEATED, Search, sample
from utils.model.weights import find_not_finite, save_half

__all__ = ["Caption", "Captioner"]

_CONFIG_FILE = "config.json"
_VOCABULARY_FILE = "vocabulary.txt"
_DECODER_FILE = "decoder.weights.h5"

# Written only if the encoder was trained together with the decoder.
_ENCODER_FILE = "encoder.weights.h5"

# Written only for models that rank captions by consensus.
_CONSENSUS_FILE = "consensus.h5"

# Written only if a confidence was fitted; folders of earlier versions have none.
_CONFIDENCE_FILE = "confidence.json"

# The model in this repository. The path does not depend on the working folder.
_DEFAULT_MODEL = Path(__file__).parents[1] / "models" / "flickr8k"

# This number is subtracted from the score of a faulty caption, so that it ranks after all captions without a fault.
_FAULT = 1000

# Number of photos that are captioned together.
_BATCH_PHOTOS = 16

# With a temperature, _DRAWS times as many captions are sampled as the caller wants, because some of them are equal.
_DRAWS = 3


class Captioner:
    """Writes captions of photos with an encoder, a vocabulary and a decoder that were trained together.

    Args:
        encoder: an Encoder.
        tokenizer: a Tokenizer.
        decoder: an AttentionDecoder with weights.
        max_words: maximum number of words of a caption.
        dataset: name of the training dataset.
        training: settings of the training run, a dict that is stored with the model.
        consensus: a Consensus, which predicts the words that people would use. Beam search prefers captions with these
            words. None: captions are ranked by probability alone.
        confidence: a Confidence, which computes how probably a caption is right. It needs a consensus. None: captions
            have no confidence.

    Example:
        >>> from utils.captioner import Captioner
        >>> from utils.data.photo_files import sample_photo
        >>> captioner = Captioner.from_folder()  # the model in this repository
        >>> photo = sample_photo()  # a path; a PIL image or an array, uint8 (height, width, 3), works too
        >>> caption = captioner.caption(photo)
        >>> caption.text.endswith(".")
        True
        >>> caption.attention.shape == (len(caption.words), captioner.encoder.rows, captioner.encoder.columns)
        True

        Several photos give a list. Several captions of one photo give a list too:

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
        beam_size: int = 5,
        batch_size: int = _BATCH_PHOTOS,
        num_captions: int = 1,
        temperature: float | None = None,
        seed: int = 0,
    ) -> Search:
        """Make a Search, a compiled function that finds captions with the decoder of this captioner.

        A second call with the same arguments, apart from `seed`, returns the same object, which is compiled already.

        Args:
            beam_size: number of hypotheses (unfinished captions) that beam search keeps for each caption.
            batch_size: maximum number of photos that are captioned together.
            num_captions: number of captions of each photo.
            temperature: None for beam search. With a number, captions are sampled: their words are chosen at random.
            seed: random seed; it matters only with a temperature.

        Returns:
            A Search.
        """
        key = beam_size, batch_size, num_captions, temperature
        if key not in self._searches:
            if temperature is None:
                size, options = beam_size, {"groups": num_captions}
                # A beam of one has only one caption, so ranking needs no consensus. The confidence still needs it.
                options["consensus"] = self.consensus if beam_size > 1 or self.confidence else None
            else:
                size, options = _DRAWS * num_captions, {"method": sample, "temperature": temperature}
                options |= {"unrepeated": UNREPEATED, "seed": keras.random.SeedGenerator(seed)}
            self._searches[key] = Search(self.decoder, size, self.max_words, batch_size=batch_size, **options)
        self._searches[key].reseed(seed)
        return self._searches[key]

    def caption(
        self,
        photos: PhotoInput | Iterable[PhotoInput],
        beam_size: int = 5,
        num_captions: int = 1,
        temperature: float | None = None,
        seed: int = 0,
        on_error: Callable[[PhotoInput, ImageError], None] | None = None,
    ) -> Caption | list | None:
        """Write one or several captions for each photo.

        Args:
            photos: a photo or an iterable of photos. A photo is a path, a PIL image or an RGB array, uint8
                (height, width, 3), of any size, mode and orientation.
            beam_size: number of hypotheses (unfinished captions) that beam search keeps for each caption. With a
                temperature it is ignored.
            num_captions: maximum number of captions of each photo.
            temperature: with a number, captions are sampled at random; below 1, likely captions become likelier. None:
                beam search finds the best captions.
            seed: random seed; it matters only with a temperature.
            on_error: a function called as `on_error(photo, error)` for each photo that cannot be read. If None, the
                ImageError is raised.

        Returns:
            For one photo, a Caption; None if the photo cannot be read and `on_error` is given. For several photos, a
            list of `Caption` objects in the order of the photos; photos that cannot be read are left out. If
            `num_captions` is above 1, each photo has a list of `Caption` objects, best first, instead of one.

        Raises:
            ImageError: a photo cannot be read.
            InputError: an argument is not a photo, or a number is out of range.
        """
        results, single = [], is_one_photo(photos)
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
        beam_size: int = 5,
        num_captions: int = 1,
        temperature: float | None = None,
        seed: int = 0,
    ) -> Iterator[tuple[Any, list[Caption] | ImageError]]:
        """Write one or several captions for each photo, and yield them as soon as they are written.

        Several captions are found by diverse beam search. The caption that is found with `num_captions=1` is one of
        them. With a temperature, captions are sampled at random. All captions of a photo are different. If the model
        finds fewer than `num_captions` different captions, the list is shorter.

        Args:
            photos: a photo or an iterable of photos. A photo is a path, a PIL image, an RGB array, uint8 (height,
                width, 3), or an object whose attribute `path` is a file. Reading `path` may raise ImageError.
            beam_size: number of hypotheses (unfinished captions) that beam search keeps for each caption. With a
                temperature it is ignored.
            num_captions: maximum number of captions of each photo.
            temperature: with a number, captions are sampled at random; below 1, likely captions become likelier. None:
                beam search finds the best captions.
            seed: random seed; it matters only with a temperature.

        Yields:
            A pair (photo, captions) for each photo, in the order of the photos. `photo` is the element of `photos`.
            `captions` is a list of `Caption` objects, highest score first. For a photo that cannot be read, `captions`
            is an ImageError.

        Raises:
            InputError: an argument is not a photo, or a number is out of range.
        """
        if min(beam_size, num_captions) < 1 or (temperature is not None and temperature <= 0):
            raise InputError("beam_size and num_captions must be 1 or more, temperature must be above 0")
        photos = [photos] if is_one_photo(photos) else list(photos)
        items = [as_item(photo) for photo in photos]
        size = 1 if len(items) == 1 else _BATCH_PHOTOS
        search = self.search(beam_size, size, num_captions, temperature, seed)
        encoded = encode_files(self.encoder, items, size)
        for start in range(0, len(items), size):
            batch = list(itertools.islice(encoded, size))
            good = [(item, regions) for item, regions in batch if not isinstance(regions, ImageError)]
            captions = iter(())
            if good:
                hypotheses = search(np.stack([regions for _, regions in good]))
                captions = iter(self._captions([item.path for item, _ in good], hypotheses, num_captions))
            for photo, (_, regions) in zip(photos[start : start + size], batch):
                result = regions if isinstance(regions, ImageError) else next(captions)
                if is_in_memory(photo) and not isinstance(result, ImageError):
                    result = [replace(caption, photo=as_photo(photo)) for caption in result]
                yield photo, result

    def caption_regions(
        self, paths: Iterable[Path], regions: np.ndarray, beam_size: int = 5, batch_size: int = _BATCH_PHOTOS
    ) -> list[Caption]:
        """Write a caption for each photo from regions that are already computed, so that the encoder is not needed.

        Args:
            paths: the files of at most `batch_size` photos. They become the attribute `path` of the captions.
            regions: regions of these photos, float32 (photos, regions, channels).
            beam_size: number of hypotheses (unfinished captions) that the search keeps; 1 is greedy decoding.
            batch_size: maximum number of photos that are captioned together.

        Returns:
            A list of `Caption` objects, one for each photo.
        """
        return [captions[0] for captions in self._captions(paths, self.search(beam_size, batch_size)(regions))]

    def _captions(self, paths, hypotheses, count=1):
        """Choose different captions of each photo, best first, from the results of a search.

        Args:
            paths: for each photo its file, or the PIL image or array that the caller passed.
            hypotheses: the Hypotheses of these photos, the result of a search. For each photo there are `count` groups
                of captions, one after another, all of the same size.
            count: maximum number of captions of each photo.

        Returns:
            A list that has, for each photo, a list of `Caption` objects.
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
                    file_of(path),
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
        """Write a model folder: config.json, vocabulary and weights.

        The captioner's `consensus` and `confidence` are written too. If one of them is None, its earlier file is
        removed. The weights of the decoder are written in half precision. The weights of the encoder are written only
        if they were trained together with the decoder, because all other encoder weights can be fetched again. Encoders
        without depthwise convolutions, such as VGG16, are written with 8 bits per weight, other encoders in half
        precision. Existing weights, vocabulary and config.json are replaced after all new weights are written,
        config.json last.

        Args:
            folder: the folder to write. It may exist.

        Raises:
            InputError: a weight is not finite, or the folder cannot be written.
        """
        folder, encoder, trained = Path(folder), self.encoder, self.encoder.weights == "trained"
        bad = find_not_finite(self.decoder) or (trained and find_not_finite(encoder.network))
        if bad:
            raise InputError(f"{folder}: not written, because weights of {bad} are not finite; train again")
        make_folder(folder)
        # `replacing` writes each file under a temporary name. At the end of `with` the files get their names in the
        # reverse order of this list. After an error, none of them gets its name.
        names = [_CONFIG_FILE, _VOCABULARY_FILE, _DECODER_FILE] + [_ENCODER_FILE] * trained
        with ExitStack() as stack:
            partial = {name: stack.enter_context(replacing(folder / name)) for name in names}
            self.tokenizer.save(partial[_VOCABULARY_FILE])
            save_half(self.decoder, partial[_DECODER_FILE])
            if trained:
                save = save_compact if ARCHITECTURES[encoder.name].dense else save_half
                save(encoder.network, partial[_ENCODER_FILE])
                encoder = encoder.copy()
                encoder.load_trained(partial[_ENCODER_FILE])  # the fingerprint is that of the rounded weights
            config = {
                "format": FORMAT,
                "dataset": self.dataset,
                "encoder": {key: getattr(encoder, key) for key in sorted(ENCODER_KEYS)},
                "decoder": {key: getattr(self.decoder, key) for key in sorted(DECODER_KEYS)},
                "max_words": self.max_words,
                "consensus": self.consensus is not None,
                "training": self.training,
            }
            _write_json(partial[_CONFIG_FILE], config)
            if self.consensus:
                self.consensus.save(folder / _CONSENSUS_FILE)
        self.save_confidence(folder)
        if not self.consensus:
            _remove(folder / _CONSENSUS_FILE)

    def save_consensus(self, folder: str | Path) -> None:
        """Write the consensus into the existing folder of this model, and state in config.json that there is one.

        Args:
            folder: the model folder.

        Raises:
            InputError: the folder cannot be written.
        """
        folder = Path(folder)
        self.consensus.save(folder / _CONSENSUS_FILE)
        with replacing(folder / _CONFIG_FILE) as partial:
            config = json.loads((folder / _CONFIG_FILE).read_text(encoding="utf-8"))
            _write_json(partial, config | {"consensus": True})

    def save_confidence(self, folder: str | Path) -> None:
        """Write `confidence`, the regression that computes the confidence of captions, into the model's folder.

        If this captioner has no such regression, the folder's file of an earlier one is removed.

        Args:
            folder: the model folder, which exists.

        Raises:
            InputError: the folder cannot be written.
        """
        path = Path(folder) / _CONFIDENCE_FILE
        if self.confidence:
            self.confidence.save(path)
        else:
            _remove(path)

    @classmethod
    def from_folder(cls, folder: str | Path = _DEFAULT_MODEL, encoder_weights: str | Path | None = None) -> "Captioner":
        """Load a model folder that the method `save` has written. No code from the folder is executed.

        Args:
            folder: the model folder. The default is the model in this repository.
            encoder_weights: "imagenet", "random", or the path of a file with the encoder's weights. None: the weights
                that config.json names.

        Returns:
            A Captioner.

        Raises:
            InputError: the folder holds no model, is damaged or has another format version, or the encoder's weights
                differ from those of the training.
        """
        folder = find_model(folder)
        config = read_config(folder)
        settings = dict(config["encoder"])
        fingerprint = settings.pop("fingerprint")
        trained = settings["weights"] == "trained"
        if trained and encoder_weights:
            raise InputError(f"{folder}: the model folder holds its encoder's weights; leave out --encoder_weights")
        optional = [_ENCODER_FILE] * trained + [_CONSENSUS_FILE] * config["consensus"]
        for name in (_VOCABULARY_FILE, _DECODER_FILE, *optional):
            if not (folder / name).is_file():
                raise InputError(f"{folder}: damaged model folder: {name} is missing; copy or train it again")
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
            tokenizer = Tokenizer.load(folder / _VOCABULARY_FILE)
            decoder = AttentionDecoder(len(tokenizer), **config["decoder"])
            decoder.build((None, encoder.rows * encoder.columns, encoder.channels))
            decoder.load_weights(folder / _DECODER_FILE)
            bad = find_not_finite(decoder) or find_not_finite(encoder.network)
            if bad:
                raise ValueError(f"weights of {bad} are not finite")
            consensus = Consensus.load(folder / _CONSENSUS_FILE) if config["consensus"] else None
            if consensus and (len(consensus.rarity), len(consensus.mean)) != (len(tokenizer), encoder.channels):
                raise ValueError(f"{_CONSENSUS_FILE} belongs to another model")
        except Exception as error:  # h5py and Keras raise many kinds of errors for a damaged file
            raise InputError(
                f"{folder}: damaged model folder: {reason(error)}; copy or train the model again"
            ) from None
        confidence = Confidence.load(folder / _CONFIDENCE_FILE) if consensus else None
        rest = config["max_words"], config["dataset"], config["training"], consensus, confidence
        return cls(encoder, tokenizer, decoder, *rest)


def _write_json(path, content):
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _remove(path):
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot remove {path}: {reason(error)}") from None
