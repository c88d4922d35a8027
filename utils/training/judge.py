"""Which epoch is kept, and when a stage stops, by the rows of the history."""

# CIDEr of fewer photos differs more by chance than from epoch to epoch; that of a single one is always 0.
FEW_PHOTOS = 100


class Judge:
    """Ranks the epochs of a run.

    Captions are ranked by their CIDEr, ties by the validation loss: so a CIDEr that cannot move decides nothing. Few
    validation photos are judged by the loss alone, which counts every word. Rewarded captions are the exception: the
    reward is not likelihood.

    Args:
        recipe: a Recipe.
        photos: the number of validation photos.
        tagging: whether the stage names tags; these have a score of their own.
    """

    def __init__(self, recipe, photos, tagging=False):
        self.recipe, self.photos, self.tagging = recipe, photos, tagging
        self.by_loss = photos < FEW_PHOTOS and not recipe.scst_epochs and not tagging

    @property
    def score(self):
        """What epochs are ranked by, in words."""
        if self.tagging:
            return "precision of the tags"
        return "validation loss" if self.by_loss else "validation CIDEr"

    def merit(self, row):
        """What is compared: the greater, the better; None for rows of stages that this judge does not rank."""
        if self.tagging or row["val_loss"] is None:
            return (row["val_tag_precision"],) if self.tagging and row["val_tag_precision"] is not None else None
        return (-row["val_loss"],) if self.by_loss else (row["val_CIDEr"], -row["val_loss"])

    def best(self, rows):
        """The first of the best rows; None if there is none."""
        return max((row for row in rows if self.merit(row)), key=self.merit, default=None)

    def epochs_since_best(self, rows):
        """How many rows of a stage came after the best; 0 if it has none."""
        rows = [row for row in rows if self.merit(row)]
        return len(rows) - 1 - rows.index(self.best(rows)) if rows else 0

    def has_stalled(self, rows, steps_per_epoch):
        """Whether the rows of a stage have not improved for the recipe's `patience` epochs and `patience_steps`."""
        since = self.epochs_since_best(rows)
        return since >= self.recipe.patience and since * steps_per_epoch >= self.recipe.patience_steps

    def explain(self, rows):
        """A line for a person: which epoch is kept and which score chose it."""
        best = self.best(rows)
        where = "the model it started from" if best["stage"] == "start" else f"{best['stage']} epoch {best['epoch']}"
        if self.by_loss:
            return (
                f"kept: {where}, which has the lowest validation loss ({best['val_loss']:.3f}); "
                f"CIDEr of {self.photos} photos would be chance"
            )
        if best["val_CIDEr"] == 0:
            return f"kept: {where}, which has the lowest validation loss ({best['val_loss']:.3f}); CIDEr is always 0"
        return f"kept: {where}, which has the best validation CIDEr ({best['val_CIDEr']:.3f})"
