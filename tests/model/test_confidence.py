import json

import numpy as np
import pytest

from tests.conftest import make_decoder
from tests.model import test_consensus
from tests.model.test_consensus import CAT, DOG, A, photos
from utils.captioner import Captioner
from utils.data.tokenizer import END, PAD
from utils.errors import InputError
from utils.model.confidence import FEATURES, Confidence, features
from utils.model.search import Search

consensus = test_consensus.consensus  # the fixture


def test_features_are_mean_log_probability_log_likeness_and_detail(consensus):
    decoder = make_decoder(seed=3)
    found = Search(decoder, 3, 5, batch_size=2, consensus=consensus)(photos([0, 1], 7))
    known = dict(zip(FEATURES, np.moveaxis(features(found), -1, 0)))
    words = ((found.words != PAD) & (found.words != END)).sum(axis=-1)
    np.testing.assert_allclose(known["log_probability"], found.log_probabilities / (words + 1))
    expected = np.asarray(consensus.likeness(photos([0, 1], 7), found.words))
    np.testing.assert_allclose(known["likeness"], np.log(np.maximum(expected, 0.005)), atol=1e-3)
    spread = (photos([0, 1], 7) * consensus.scale).var(axis=1).mean(axis=-1) ** 0.5
    np.testing.assert_allclose(known["detail"], np.minimum(np.log(spread), 0.3)[:, None].repeat(3, 1), atol=1e-4)
    assert np.isnan(Search(decoder, 3, 5, batch_size=2)(photos([0, 1], 7)).likeness).all()


def test_the_fit_recovers_the_probabilities_of_simulated_data():
    generator = np.random.default_rng(0)
    rows = generator.normal([-1, 2], [1, 3], (20_000, 2))
    truth = 1 / (1 + np.exp(-(0.5 + rows[:, 0] - 0.4 * rows[:, 1])))
    fitted = Confidence.fit(rows, generator.random(len(rows)) < truth)
    np.testing.assert_allclose(fitted(rows), truth, atol=0.03)


def test_saving_keeps_a_confidence_and_a_missing_file_means_none(tmp_path):
    path, rows = tmp_path / "confidence.json", np.random.default_rng(0).normal(size=(9, 3))
    assert Confidence.load(path) is None
    fitted = Confidence.fit(rows, np.arange(9) > 4)
    fitted.save(path)
    np.testing.assert_allclose(Confidence.load(path)(rows), fitted(rows))
    path.write_text(path.read_text().replace("likeness", "something"))
    with pytest.raises(InputError, match="damaged"):
        Confidence.load(path)


def test_features_that_a_file_of_an_earlier_version_lacks_do_not_count(tmp_path):
    path, rows = tmp_path / "confidence.json", np.random.default_rng(0).normal(size=(9, 3))
    content = Confidence([0, 1, 5], [1, 2, 3], [3, -2, 7], 0.5).to_dict()
    del content["features"]["detail"]
    path.write_text(json.dumps(content))
    np.testing.assert_allclose(Confidence.load(path)(rows), Confidence([0, 1, 5], [1, 2, 3], [3, -2, 0], 0.5)(rows))


def test_confidences_are_between_0_and_1_and_none_for_models_without_a_confidence(
    tiny_captioner,
    consensus,
    save_photo,
    tmp_path,
):
    encoder = tiny_captioner.encoder
    means = np.random.default_rng(0).random((8, encoder.channels), "float32")
    own = type(consensus).fit(means, [[[A, DOG if i % 2 else CAT]] for i in range(8)], 9)
    sure = Confidence(np.zeros(3), np.ones(3), [1, 0.1, 0], 1.0)
    Captioner(encoder, tiny_captioner.tokenizer, tiny_captioner.decoder, 6, "shapes", {}, own, sure).save(tmp_path)
    loaded = Captioner.from_folder(tmp_path)
    (alone,) = loaded.caption([save_photo()], beam_size=2)
    assert 0 < alone.confidence < 1
    ((_, several),) = loaded.caption_each([save_photo()], beam_size=2, num_captions=2)
    assert several[0].confidence == pytest.approx(alone.confidence, abs=1e-5)
    (tmp_path / "confidence.json").unlink()
    assert Captioner.from_folder(tmp_path).caption([save_photo()])[0].confidence is None
