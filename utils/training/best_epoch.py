"""The choice of the best epoch, and the decision to stop a stage."""

# On fewer photos, CIDEr varies more by chance than between epochs. CIDEr of a single photo is always 0.
FEW_PHOTOS = 100


class BestEpoch:
    """Ranking of the epochs of a run.

    Epochs are ranked by validation CIDEr, and equal ones by validation loss. With fewer than 100 validation photos they
    are ranked by the loss alone. A run with self-critical training is always ranked by CIDEr, since it maximises a
    reward, not the likelihood. The tagging stage is ranked by the precision of its tags.

    Args:
        recipe: a Recipe.
        photos: number of validation photos.
        tagging: whether the stage is the tagging stage.
    """

    def __init__(self, recipe, photos, tagging=False):
        self.recipe, self.photos, self.tagging = recipe, photos, tagging
        self.by_loss = photos < FEW_PHOTOS and not recipe.scst_epochs and not tagging

    @property
    def score(self):
        """Name of the score that ranks the epochs."""
        if self.tagging:
            return "precision of the tags"
        return "validation loss" if self.by_loss else "validation CIDEr"

    def sort_key(self, row):
        """Sort key of a row of the history, a tuple: greater is better. None if this judge does not rank its stage."""
        if self.tagging or row["val_loss"] is None:
            return (row["val_tag_precision"],) if self.tagging and row["val_tag_precision"] is not None else None
        return (-row["val_loss"],) if self.by_loss else (row["val_CIDEr"], -row["val_loss"])

    def best(self, rows):
        """The best row; the first of equal ones. None if no row is ranked."""
        return max((row for row in rows if self.sort_key(row)), key=self.sort_key, default=None)

    def epochs_since_best(self, rows):
        """Number of a stage's rows after the best one; 0 without rows."""
        rows = [row for row in rows if self.sort_key(row)]
        return len(rows) - 1 - rows.index(self.best(rows)) if rows else 0

    def has_stalled(self, rows, steps_per_epoch):
        """Whether a stage has not improved for the recipe's `patience` epochs and `patience_steps` steps.

        Args:
            rows: the stage's rows of the history.
            steps_per_epoch: number of steps in an epoch.
        """
        since = self.epochs_since_best(rows)
        return since >= self.recipe.patience and since * steps_per_epoch >= self.recipe.patience_steps

    def explain(self, rows):
        """One line about the epoch that is kept and the score that chose it."""
        best = self.best(rows)
        where = "the model it started from" if best["stage"] == "start" else f"{best['stage']} epoch {best['epoch']}"
        if self.by_loss:
            return (
                f"kept: {where}, which has the lowest validation loss ({best['val_loss']:.3f}); "
                f"with {self.photos} validation photos, CIDEr varies too much by chance"
            )
        if best["val_CIDEr"] == 0:
            return f"kept: {where}, which has the lowest validation loss ({best['val_loss']:.3f}); CIDEr stays 0"
        return f"kept: {where}, which has the best validation CIDEr ({best['val_CIDEr']:.3f})"
