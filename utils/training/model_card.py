"""Write the model card, the README.md of a model folder, which describes the model, its training and its limits."""

from pathlib import Path

from utils.files import replacing

_CARD = """# {dataset} captioner, {encoder}

Writes a sentence about a photo and shows, for every word, the regions it attends to: {encoder}
({weights}) → {rows} × {columns} regions → Bahdanau attention and an LSTM
of {units} units → words. Made by `train.py` of this repository.

```python
from utils.captioner import Captioner
caption = Captioner.from_folder("{folder}").caption("photo.jpg")
print(caption.text, caption.attention.shape)
```

## Training

{started}{train} photos of `{dataset}`, {words} words, batches of {batch_size} photos with up to
{captions} captions each. Training took {epochs} epochs and {minutes:.0f} minutes; the epoch kept is
{best}. The whole recipe is in `config.json`. Every epoch is in `history.csv` and drawn in
`training.png`.

## Validation

| split | photos | references a photo | decoding | CIDEr | BLEU-4 | distinct captions |
|---|---|---|---|---|---|---|
| val | {val} | up to {references} | beam {beam}, free-running | {cider:.3f} | {bleu:.3f} | {distinct} |
{consensus}
The epoch was chosen on these photos by its {chosen_by}, so scores on other photos are a little lower.

## Limits

- The model knows {words} words and can name nothing else.
- The model describes what such photos usually show. It misses rare and small things; numbers and colours
  are sometimes wrong. A fluent sentence is no proof.
- Captions repeat the habits of the people who wrote the training captions, stereotypes included.
  Do not use captions to judge people.
"""


_WEIGHTS = {
    "imagenet": "ImageNet weights, frozen",
    "scenes": "weights trained on drawn scenes, frozen",
    "trained": "trained with the decoder, weights in this folder",
}


_CONSENSUS = (
    "| | | | beam {beam}, ranked by consensus too (the default in use) | {CIDEr:.3f} | {Bleu_4:.3f} "
    "| {distinct_captions} |\n"
)


def write_card(folder, captioner, history, best, chosen_by, counts, scores, references=5):
    """Write the model card, README.md, into a model folder.

    Args:
        folder: model folder.
        captioner: Captioner of the model in `folder`.
        history: the training history, a list with a dict of scores for each epoch.
        best: the element of `history` whose epoch is kept.
        chosen_by: name of the score by which the epoch was chosen, such as "validation CIDEr".
        counts: a dict from split name, "train" and "val", to the number of photos.
        scores: validation scores with the consensus, a dict from score name, such as "CIDEr", to score. It is empty if
            the model has no consensus.
        references: largest number of captions by people for a photo.
    """
    recipe, encoder = captioner.training, captioner.encoder
    kept = f"epoch {best['epoch']} of the {best['stage']} stage"
    if best["stage"] == "start":
        kept = "the model it started from, with the new words"
    if best["stage"] == "self-critical":
        kept += f", averaged with the weights before that stage (their share: {recipe['scst_start_share']:.0%})"
    text = _CARD.format(
        dataset=captioner.dataset,
        encoder=encoder.name,
        weights=_WEIGHTS.get(encoder.weights, f"{encoder.weights} weights, frozen"),
        rows=encoder.rows,
        columns=encoder.columns,
        units=recipe["units"],
        folder=Path(folder).as_posix(),
        train=counts["train"],
        val=counts["val"],
        words=len(captioner.tokenizer),
        batch_size=recipe["batch_size"],
        captions=recipe["captions_per_photo"],
        epochs=sum(row["stage"] != "start" for row in history),
        best=kept,
        started=f"Training started from the model `{recipe['start_from']}`.\n" if recipe["start_from"] else "",
        chosen_by=chosen_by,
        minutes=sum(row["minutes"] for row in history),
        references=references,
        beam=recipe["beam_size"],
        cider=best["val_CIDEr"],
        bleu=best["val_Bleu_4"],
        distinct=best["distinct_captions"],
        consensus=_CONSENSUS.format(beam=recipe["beam_size"], **scores) if scores else "",
    )
    with replacing(Path(folder) / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
