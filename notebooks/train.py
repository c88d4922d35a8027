# %% [markdown]
# # Train an image captioner
# BADGE
#
# It learns to write a sentence about a photo, and shows for every word where it looked. As it stands, the notebook
# trains on scenes that it draws itself: no download, a few minutes. After that choose `flickr8k` and your own data.
#
# **After a disconnect, run all cells again**: training goes on where it stopped, if `keep_on_drive` is set.

# SETUP
# %% [markdown]
# ## What to train
# Empty fields take the dataset's own settings, which are those of `python train.py`. With `keep_on_drive` the cache of
# regions, the checkpoints and the model are kept in `captioning/` on your Google Drive. `archive` is a `.zip` or `.tar`
# of the photos, on Drive perhaps; it is unpacked to this machine, since thousands of small files are slow on Drive.

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

# %% [markdown]
# ## Where things lie

# %%
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
# ## Train
# First every photo goes once through the encoder, and its regions are cached. Then the decoder learns. After each
# epoch the validation photos are captioned and scored (CIDEr); the best epoch is kept. Watch the captions improve:

# %%
import train
from utils.data.datasets import load_dataset
from utils.notebook import LiveView, is_trained, resume_flags


def validation_photos():
    return [photo.path for photo in load_dataset(dataset, data_dir, seed).split("val")[:4]]


if is_trained(output_dir):
    print(f"{output_dir} is trained already; name another output_dir to train again")
else:
    train.main(flags + resume_flags(output_dir), callbacks=[LiveView(output_dir, validation_photos)])

# %% [markdown]
# ## Look at it
# For each word, where the model looked. The maps hint at what mattered; they prove nothing.

# %%
from utils.captioner import Captioner
from utils.notebook import show_captions, show_figure
from utils.outputs.plots import attention_figure

captioner = Captioner.from_folder(output_dir)
captions = captioner.caption(validation_photos())
show_captions(captions)
show_figure(attention_figure(captions[0]))

# %% [markdown]
# ## Keep it
# The model is the folder `output_dir`, a few megabytes. With `keep_on_drive` it is on Drive already. To download it:

# %%
import shutil

print(Path(shutil.make_archive(f"{Path(output_dir).name}-model", "zip", output_dir)).name)
