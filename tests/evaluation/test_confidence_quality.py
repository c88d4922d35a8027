import numpy as np
import pytest

from utils.evaluation import confidence_quality as quality


def test_calibration_is_the_mean_distance_of_confidence_and_share_that_is_right():
    error, rows = quality.calibration([0.25, 0.25, 0.95, 1.0], [0, 1, 1, 1])
    assert rows == [(2, 0.25, 0.5), (2, pytest.approx(0.975), 1)]
    assert error == pytest.approx(0.5 * 0.25 + 0.5 * 0.025)


def test_area_under_the_curve_counts_pairs_and_ties_by_half():
    assert quality.area_under_curve([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0]) == pytest.approx(3.5 / 4)
    assert np.isnan(quality.area_under_curve([0.9], [1]))


def test_spearmans_correlation_is_of_ranks():
    assert quality.spearman([1, 2, 3], [1, 10, 1000]) == pytest.approx(1)
    assert quality.spearman([1, 2, 2, 3], [4, 3, 3, 1]) == pytest.approx(-1)


def test_the_most_confident_captions_are_scored_separately():
    found = quality.score_confidence([0.9, 0.2, 0.8, 0.1], [2.0, 0.5, 1.0, 0.0])
    assert [each["CIDEr"] for each in found["coverage"].values()] == pytest.approx([2.0, 1.5, 3.5 / 3, 0.875])
    assert found["coverage"]["50%"]["least_confidence"] == 0.8
    assert found["spearman"] == pytest.approx(1)
    picture = quality.draw(found, [0.9, 0.2, 0.8, 0.1], [2.0, 0.5, 1.0, 0.0])
    assert picture.lstrip().startswith("<?xml")
