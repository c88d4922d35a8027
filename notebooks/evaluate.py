# %% [markdown]
# # How good is a caption?
# BADGE
#
# People describe one photo in different ways, so a caption is compared with several **references**. This notebook
# shows what CIDEr counts, on drawn scenes whose content is known, and then scores a model.

# SETUP
# %% [markdown]
# ## 1. Which model, on what
# If `model` is empty, the model of `train.ipynb` (`models/shapes`) is scored if you have trained it. Otherwise it is
# the committed model, which knows photos and not drawn scenes: expect scores near zero, and see why.

# %% [parameters]
model = ""  # @param {type:"string"}
other_model = ""  # @param {type:"string"}
dataset = "shapes"  # @param DATASETS
data_dir = ""  # @param {type:"string"}
split = "val"  # @param ["train", "val", "test", "unseen"]
beam_size = 5  # @param {type:"slider", min:1, max:10, step:1}

# %%
from utils.data.datasets import load_dataset
from utils.notebook import is_trained

model = model or ("models/shapes" if is_trained("models/shapes") else "models/flickr8k")
data_dir = data_dir or f"data/{dataset}"
photos = load_dataset(dataset, data_dir).split(split)
print(f"{model} on {len(photos)} photos of {dataset}, {split}")
for text in photos[0].references:
    print(" ", text)

# %% [markdown]
# ## 2. What CIDEr counts
# CIDEr compares **n-grams**: sequences of one to four words. A rare n-gram says more than a frequent one, so each is
# weighted by its **rarity**: the logarithm of (number of photos / number of photos with this n-gram in a reference).

# %%
import math
from collections import Counter

from utils.data.penn_treebank import tokenize

found = Counter(word for photo in photos for word in {w for text in photo.references for w in tokenize(text)})
rarity = {word: math.log(len(photos) / count) for word, count in found.items()}
for word, count in found.most_common()[:: max(1, len(found) // 8)]:
    print(f"{word:12} in {count:4} photos, rarity {rarity[word]:.2f}")

# %% [markdown]
# A caption becomes a vector: for each word, its count times its rarity. The score is the cosine between this vector
# and that of a reference: 1 if both point the same way, 0 if they share no rare word. Here it is for single words.
# CIDEr takes the mean over n-grams of one to four words and over references, and multiplies by 10.

# %%


def vector(text):
    return {word: count * rarity.get(word, math.log(len(photos))) for word, count in Counter(tokenize(text)).items()}


def cosine(one, other):
    product = sum(value * other.get(word, 0.0) for word, value in one.items())
    return product / (math.hypot(*one.values()) * math.hypot(*other.values()) + 1e-9)


first, *others = photos[0].references
reference = vector(first)
for text in [first, *others[:2], photos[1].references[0], " ".join(tokenize(first)[:3])]:
    print(f"{cosine(vector(text), reference):.2f}  {text}")

# %% [markdown]
# And with pycocoevalcap, as `evaluate.py` uses it. Each row scores captions of one kind for all photos: a reference
# against the others (about what a person reaches), its words in reverse order, and a reference of another photo.
# Reversed words keep BLEU-1, which counts single words; BLEU-4 falls to zero, and of CIDEr the part for single words
# remains.

# %%
from utils.evaluation.metrics import evaluate as score

truth = {photo.id: list(photo.references[1:]) for photo in photos}
firsts = [photo.references[0] for photo in photos]
kinds = {
    "a reference": firsts,
    "its words reversed": [" ".join(reversed(tokenize(text))) for text in firsts],
    "of another photo": [*firsts[1:], firsts[0]],
}
for kind, texts in kinds.items():
    scores = score(truth, dict(zip(truth, texts)), ["Bleu", "ROUGE_L", "CIDEr"])
    print(f"{kind:20}" + "  ".join(f"{name} {scores[name]:.2f}" for name in ("Bleu_1", "Bleu_4", "ROUGE_L", "CIDEr")))

# %% [markdown]
# ## 3. Score a model
# With 95 % bootstrap intervals, beside people and nearest neighbours. A second model is scored on the same photos,
# and a paired bootstrap tests the difference.

# %%
import evaluate

flags = ["--dataset", dataset, "--data_dir", data_dir, "--split", split, "--beam_size", str(beam_size)]
models = [model, other_model, "--compare"] if other_model else [model]
_ = evaluate.main(["--model", *models, "--baselines", "--report", "report.html", *flags])

# %% [markdown]
# ## 4. Look at captions
# Numbers hide what a model gets wrong. Under each caption is what people wrote.

# %%
import random

from utils.captioner import Captioner
from utils.notebook import show_captions, show_figure
from utils.outputs.plots import attention_figure

some = random.Random(0).sample(photos, min(6, len(photos)))
captions = Captioner.from_folder(model).caption([photo.path for photo in some], beam_size)
show_captions(captions, [photo.references for photo in some])
show_figure(attention_figure(captions[0]))

# %% [markdown]
# `report.html` is a self-contained page with the best, the worst and random photos; download it to keep it. Move over
# a word to see where the model looked.

# %%
from utils.notebook import show_page

show_page("report.html")

# %% [markdown]
# ## Exercises
# 1. Write five captions of the first scene yourself and score them. Which small change costs most?
# 2. Change "red" to "blue" in the references' words of one caption. How much does BLEU-4 lose, how much CIDEr?
# 3. CIDEr's rarity depends on the photos scored together. Score the first ten photos alone: why does the number
#    change?
# 4. Train a model with `train.ipynb`, run this notebook again, and compare with people's score. Then set `split` to
#    `unseen`: which words go wrong?
