# %% [markdown]
# # Train an image captioner
# BADGE
#
# The model learns to write a sentence about a photo, and shows for every word where it looked. By default this
# notebook trains on scenes that it draws itself: no download, a few minutes. Then choose `flickr8k` or your own
# photos.
#
# **After a disconnect, run all cells again**: training continues where it stopped, if `keep_on_drive` is set.

# SETUP
# %% [markdown]
# ## 1. What to train
# Empty fields take the dataset's default settings, those of `python train.py`. With `keep_on_drive` the cache of
# regions, the checkpoints and the model are kept in `captioning/` on your Google Drive. `archive` is a `.zip` or
# `.tar` of the photos, perhaps on Drive; it is unpacked to this machine, since thousands of small files are slow on
# Drive.

# %% [parameters]
dataset = "shapes"  # @param DATASETS
archive = ""  # @param {type:"string"}
encoder = ""  # @param ["", "vgg16", "vgg19", "mobilenet", "resnet50"]
epochs = ""  # @param {type:"string"}
batch_size = ""  # @param {type:"string"}
learning_rate = ""  # @param {type:"string"}
finetune_encoder = False  # @param {type:"boolean"}
scst_epochs = ""  # @param {type:"string"}
seed = 0  # @param {type:"integer"}
keep_on_drive = False  # @param {type:"boolean"}
data_dir = ""  # @param {type:"string"}
output_dir = ""  # @param {type:"string"}

# %%
from pathlib import Path

from utils import console
from utils.data.fetch.archives import unpack

base = Path(".")
if keep_on_drive:
    from google.colab import drive

    drive.mount("/content/drive")
    base = Path("/content/drive/MyDrive/captioning")
data_dir = data_dir or f"data/{dataset}"
output_dir = output_dir or str(base / "models" / (dataset if dataset != "flickr8k" else "my-flickr8k"))
if archive:
    unpack(archive, data_dir, progress=console.progress)
given = {
    "dataset": dataset,
    "data_dir": data_dir,
    "cache_dir": base / "data" / "cache",
    "output_dir": output_dir,
    "encoder": encoder,
    "epochs": epochs,
    "batch_size": batch_size,
    "learning_rate": learning_rate,
    "scst_epochs": scst_epochs,
    "seed": seed,
}
flags = [text for name, value in given.items() if value != "" for text in (f"--{name}", str(value))]
flags += ["--finetune_encoder"] if finetune_encoder else []
print("python train.py", *flags)

# %% [markdown]
# ## 2. What the model learns from
# A photo and what people wrote about it. The decoder reads the words so far and predicts the next one, at every
# position at once: this is **teacher forcing**, as the words so far are always the person's. The loss is the mean of
# −log(probability of the right next word). A model that knows nothing gives every word the same probability, so its
# loss is the logarithm of the number of words.

# %%
import math

from utils.data.datasets import load_dataset
from utils.data.tokenizer import split_words

photos = load_dataset(dataset, data_dir, seed).split("train")
vocabulary = {word for photo in photos for text in photo.references for word in split_words(text)}
words = split_words(photos[0].references[0])
for position in range(len(words) + 1):
    print(" ".join(["<start>", *words[:position]]), "→", [*words, "<end>"][position])
print(f"{len(photos)} photos, {len(vocabulary)} different words: loss of a model that knows nothing about", end=" ")
print(f"{math.log(len(vocabulary)):.1f}")

# %% [markdown]
# ## 3. Train
# First every photo goes once through the encoder, and its regions are cached: the encoder stays fixed, so its answer
# never changes. Then the decoder learns. After each epoch the validation photos are captioned **free-running** (the
# model reads its own words) and scored with **CIDEr**: how many word sequences they share with the captions of people,
# where rare ones count more. It is at most 10; drawn scenes reach 5, photos about .5. The best epoch is kept. Watch the
# captions improve:

# %%
import train
from utils.notebook import LiveView, is_trained, resume_flags


def validation_photos():
    return [photo.path for photo in load_dataset(dataset, data_dir, seed).split("val")[:4]]


if is_trained(output_dir):
    print(f"{output_dir} is trained already; name another output_dir to train again")
else:
    train.main(flags + resume_flags(output_dir), callbacks=[LiveView(output_dir, validation_photos)])

# %% [markdown]
# ## 4. Look at it
# For each word, where the model looked. The maps hint at what mattered; they prove nothing. `evaluate.ipynb` scores
# the model, `inference.ipynb` takes it apart.

# %%
from utils.captioner import Captioner
from utils.notebook import show_captions, show_figure
from utils.outputs.plots import attention_figure

captioner = Captioner.from_folder(output_dir)
captions = captioner.caption(validation_photos())
show_captions(captions)
show_figure(attention_figure(captions[0]))

# %% [markdown]
# ## 5. Keep it
# The model is the folder `output_dir`, a few megabytes. With `keep_on_drive` it is on Drive already. To download it:

# %%
import shutil

print(Path(shutil.make_archive(f"{Path(output_dir).name}-model", "zip", output_dir)).name)

# %% [markdown]
# ## Exercises
# 1. The training loss falls from epoch to epoch; does CIDEr rise as steadily? When would you stop?
# 2. Train two models with `seed` 0 and 1 (name another `output_dir`). How far apart are their scores? What does that
#    mean for a difference of that size between two recipes?
# 3. Train with a tenth of the learning rate, and with ten times as much. What happens to the first three epochs?
# 4. Score the model on the split `unseen` with `evaluate.ipynb`: its scenes have pairs of colour and shape that
#    training never showed.
