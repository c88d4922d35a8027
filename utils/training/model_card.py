"""The model card: what a model folder's README.md says of its model."""

from pathlib import Path

_CARD = """# {dataset} captioner, {encoder}

Writes a sentence about a photo and shows for every word where it looked: {encoder}
({weights}) → {rows} × {columns} regions → Bahdanau attention and an LSTM
of {units} units → words. Made by `train.py` of this repository.

```python
from utils.captioner import Captioner
caption = Captioner.from_folder("{folder}").caption("photo.jpg")
print(caption.text, caption.attention.shape)
```

## Training

{started}{train} photos of `{dataset}`, {words} words, batches of {batch_size} photos with {captions} captions
each; {epochs} epochs in all, of which the one kept is {best} ({minutes:.0f} minutes in all). The whole recipe is
in `config.json`, every epoch in `history.csv`, and `training.png` shows it.

## Validation

| split | photos | references a photo | decoding | CIDEr | BLEU-4 | distinct captions |
|---|---|---|---|---|---|---|
| val | {val} | up to {references} | beam {beam}, free-running | {cider:.3f} | {bleu:.3f} | {distinct} |
{consensus}
The epoch was chosen on these photos by its {judged_by}, so other photos score a little lower.

## Limits

- It knows the {words} words of its training captions and can name nothing else.
- It describes what such photos usually show: what is rare or small is missed, numbers and colours
  are sometimes wrong, and a confident sentence is no proof.
- Captions inherit the habits of the people who wrote the training captions, stereotypes included.
  Do not use them to judge people.
"""


_WEIGHTS = {
    "imagenet": "ImageNet weights, frozen",
    "scenes": "weights learnt from drawn scenes, frozen",
    "trained": "trained with the decoder, weights in this folder",
}


_CONSENSUS = (
    "| | | | beam {beam}, ranked by consensus too: as the model writes | {CIDEr:.3f} | {Bleu_4:.3f} "
    "| {distinct_captions} |\n"
)


def write_card(folder, captioner, history, best, judged_by, counts, scores, references=5):
    """Write README.md into a model folder.

    Args:
        folder: the model folder.
        captioner: the Captioner that is in it.
        history: rows of `Trainer.history`.
        best: the one of them that is kept.
        judged_by: the score that chose it.
        counts: photos by split.
        scores: of the captions of `val` with consensus, `distinct_captions` among them; empty where there is none.
        references: captions a photo has at most.
    """
    recipe, encoder = captioner.training, captioner.encoder
    kept = f"epoch {best['epoch']} of the {best['stage']} stage"
    if best["stage"] == "start":
        kept = "the model it started from, with the new words"
    if best["stage"] == "self-critical":
        kept += f" (its weights in a mean with those before that stage, which have {recipe['scst_start_share']:.0%})"
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
        judged_by=judged_by,
        minutes=sum(row["minutes"] for row in history),
        references=references,
        beam=recipe["beam_size"],
        cider=best["val_CIDEr"],
        bleu=best["val_Bleu_4"],
        distinct=best["distinct_captions"],
        consensus=_CONSENSUS.format(beam=recipe["beam_size"], **scores) if scores else "",
    )
    (Path(folder) / "README.md").write_text(text, encoding="utf-8")
