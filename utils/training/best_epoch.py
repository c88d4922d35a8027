"""Choose the best epoch of a training run, and decide when a stage of it, such as "decoder", stops early."""

# With fewer validation photos, CIDEr varies more by chance than between epochs. CIDEr of a single photo is always 0.
FEW_PHOTOS = 100


class BestEpoch:
    """Rank the epochs of a run by their validation scores.

    - Epochs are ranked by CIDEr. If the CIDEr of two epochs is equal, the one with the lower loss is better.
    - With fewer than 100 validation photos, epochs are ranked by the loss alone. In a run with self-critical training,
      epochs are ranked by CIDEr even then, since this training maximises a reward and not the likelihood.
    - In the tagging stage, the encoder learns to predict the words of captions (tags). Its epochs are ranked by the
      precision of the predicted tags.

    The methods take rows of the training history. A row is a dict with the scores of one epoch.

    Args:
        recipe: a Recipe, the settings of the run.
        photos: number of validation photos.
        tagging: True to rank the epochs of the tagging stage; False to rank those of all other stages.
    """

    def __init__(self, recipe, photos, tagging=False):
        self.recipe, self.photos, self.tagging = recipe, photos, tagging
        self.by_loss = photos < FEW_PHOTOS and not recipe.scst_epochs and not tagging

    @property
    def score(self):
        """Return the name of the score by which epochs are ranked, such as "validation CIDEr", for messages."""
        if self.tagging:
            return "precision of the tags"
        return "validation loss" if self.by_loss else "validation CIDEr"

    def sort_key(self, row):
        """Return a tuple by which an epoch is ranked: the best epoch has the greatest tuple.

        `row` is the epoch's dict of scores. Returns None if this object does not rank the stage of the epoch.
        """
        if self.tagging or row["val_loss"] is None:
            return (row["val_tag_precision"],) if self.tagging and row["val_tag_precision"] is not None else None
        return (-row["val_loss"],) if self.by_loss else (row["val_CIDEr"], -row["val_loss"])

    def best(self, rows):
        """Return the row of the best epoch; None if `sort_key` ranks no row. Of equal rows, the first one is returned.

        `rows` is a list of dicts of scores, one per epoch.
        """
        return max((row for row in rows if self.sort_key(row)), key=self.sort_key, default=None)

    def epochs_since_best(self, rows):
        """Count how many epochs were trained after the best one. Epochs that are not ranked do not count.

        Args:
            rows: a list of dicts of scores, one per epoch of a stage, in the order of training.

        Returns:
            An int; 0 if no epoch is ranked.
        """
        rows = [row for row in rows if self.sort_key(row)]
        return len(rows) - 1 - rows.index(self.best(rows)) if rows else 0

    def has_stalled(self, rows, steps_per_epoch):
        """Return True if a stage of training must stop early, because its validation score has stopped improving.

        It must stop if at least `recipe.patience` epochs, with at least `recipe.patience_steps` steps together, were
        trained after the best epoch.

        Args:
            rows: a list of dicts of scores, one per epoch of the stage.
            steps_per_epoch: number of training steps in an epoch.
        """
        since = self.epochs_since_best(rows)
        return since >= self.recipe.patience and since * steps_per_epoch >= self.recipe.patience_steps

    def explain(self, rows):
        """Write one line for the user that says which epoch is kept and why.

        `rows` is the training history, a list of dicts of scores, one per epoch.
        """
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
