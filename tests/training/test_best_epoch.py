import pytest

from utils.training.best_epoch import FEW_PHOTOS, BestEpoch
from utils.training.recipes import Recipe


def rows(*scores, stage="decoder"):
    """Make the history of a stage from the (validation loss, CIDEr) of each epoch."""
    return [
        {"stage": stage, "epoch": n, "val_loss": loss, "val_CIDEr": cider, "val_tag_precision": None}
        for n, (loss, cider) in enumerate(scores, start=1)
    ]


def test_few_validation_photos_are_ranked_by_their_loss():
    history = rows((5.0, 0.9), (3.0, 0.1), (4.0, 0.5))
    assert BestEpoch(Recipe(), FEW_PHOTOS - 1).best(history)["epoch"] == 2
    assert BestEpoch(Recipe(), FEW_PHOTOS).best(history)["epoch"] == 1


def test_a_cider_that_cannot_move_neither_chooses_nor_stops():
    best_epoch = BestEpoch(Recipe(patience=2, patience_steps=0), FEW_PHOTOS)
    history = rows((5.0, 0.0), (4.0, 0.0), (3.0, 0.0), (2.0, 0.0))
    assert best_epoch.best(history)["epoch"] == 4
    assert not best_epoch.has_stalled(history, 1)
    assert "CIDEr stays 0" in best_epoch.explain(history)
    assert best_epoch.has_stalled([*history, *rows((2.1, 0.0), (2.2, 0.0))], 1)


@pytest.mark.parametrize(("steps_per_epoch", "stalled"), [(1, False), (50, True)])
def test_patience_counts_epochs_and_steps(steps_per_epoch, stalled):
    best_epoch = BestEpoch(Recipe(patience=2, patience_steps=100), FEW_PHOTOS)
    assert best_epoch.has_stalled(rows((2.0, 0.5), (2.0, 0.4), (2.0, 0.4)), steps_per_epoch) is stalled
    assert not best_epoch.has_stalled(rows((2.0, 0.5), (2.0, 0.4)), 1000)


def test_self_critical_runs_are_ranked_by_cider():
    assert not BestEpoch(Recipe(scst_epochs=1), 3).by_loss


def test_the_model_that_training_starts_from_is_kept_if_training_makes_it_worse():
    history = rows((2.0, 0.0), stage="start") + rows((2.5, 0.0), (2.4, 0.0))
    assert BestEpoch(Recipe(), 3).explain(history).startswith("kept: the model it started from")
