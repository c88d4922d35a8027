# %% [markdown]
# # Score a captioner
# BADGE
#
# Captions are written free-running and scored against what people wrote, as pycocoevalcap does it. As it stands, the
# notebook scores the model that `train.ipynb` makes of drawn scenes.

# SETUP
# %% [markdown]
# ## Which model, on what

# %% [parameters]
model = "models/shapes"  # @param {type:"string"}
other_model = ""  # @param {type:"string"}
dataset = "shapes"  # @param DATASETS
data_dir = ""  # @param {type:"string"}
split = "val"  # @param ["train", "val", "test", "unseen"]
beam_size = 3  # @param {type:"slider", min:1, max:10, step:1}

# %% [markdown]
# ## Scores
# With 95 % bootstrap intervals, beside people and nearest neighbours, and how captions and attention are spread. A
# second model is scored on the same photos, and a paired bootstrap tells whether it differs.

# %%
import evaluate

data_dir = data_dir or f"data/{dataset}"
flags = ["--dataset", dataset, "--data_dir", data_dir, "--split", split, "--beam_size", str(beam_size)]
models = [model, other_model, "--compare"] if other_model else [model]
_ = evaluate.main(["--model", *models, "--baselines", "--report", "report.html", *flags])

# %% [markdown]
# ## The best, the worst and random photos
# `report.html` stands alone: download it to keep it. Move over a word to see where the model looked.

# %%
from utils.notebook import show_page

show_page("report.html")

# %% [markdown]
# ## Look at captions
# Photos drawn by chance; under each caption what people wrote. For drawn scenes, the scores above also tell how much
# attention lies in the box of what is named.

# %%
import random

from utils.captioner import Captioner
from utils.data.datasets import load_dataset
from utils.notebook import show_captions, show_figure
from utils.outputs.plots import attention_figure

photos = load_dataset(dataset, data_dir).split(split)
photos = random.Random(0).sample(photos, min(6, len(photos)))
captions = Captioner.from_folder(model).caption([photo.path for photo in photos], beam_size)
show_captions(captions, [photo.references for photo in photos])
show_figure(attention_figure(captions[0]))
