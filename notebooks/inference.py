# %% [markdown]
# # Caption photos
# BADGE
#
# A sentence about a photo, and for every word where the model looked. The model is part of the project: nothing else
# is downloaded. It knows some 2,500 words and is often wrong; see `models/flickr8k/README.md`.

# SETUP
# %% [markdown]
# ## Photo and settings
# `photo` is a file or an address (http…). Left empty, Colab asks you to upload one; elsewhere the portrait of Grace
# Hopper that comes with matplotlib is taken.

# %% [parameters]
photo = ""  # @param {type:"string"}
model = "models/flickr8k"  # @param {type:"string"}
beam_size = 3  # @param {type:"slider", min:1, max:10, step:1}
num_captions = 5  # @param {type:"slider", min:1, max:20, step:1}
temperature = 0.7  # @param {type:"slider", min:0.1, max:2, step:0.1}
folder = ""  # @param {type:"string"}

# %% [markdown]
# ## Its caption
# Point at a word.

# %%
from IPython.display import HTML

from utils.captioner import Captioner
from utils.notebook import choose_photo, show_figure
from utils.outputs.attention_html import attention_html
from utils.outputs.plots import attention_figure

source = choose_photo(photo, "data/uploads")
captioner = Captioner.from_folder(model)
caption = captioner.caption([source.path], beam_size)[0]
print(caption.text)
HTML(attention_html(caption))

# %% [markdown]
# The same as a picture:

# %%
show_figure(attention_figure(caption))

# %% [markdown]
# ## Several captions
# By diverse beam search, the caption from above first:

# %%
_, captions = next(captioner.caption_each([source], beam_size, num_captions))
for each in captions:
    print(f"{each.log_probability:7.2f}  {each.text}")

# %% [markdown]
# And drawn by chance. A low temperature is careful, a high one adventurous:

# %%
_, captions = next(captioner.caption_each([source], beam_size, num_captions, temperature))
for each in captions:
    print(f"{each.log_probability:7.2f}  {each.text}")

# %% [markdown]
# ## A folder of photos
# Captioned into a table. `folder` may be a folder of your Drive; left empty, it is `data/uploads`.

# %%
import inference

flags = ["--image_path", folder or "data/uploads", "--model", model, "--beam_size", str(beam_size)]
inference.main([*flags, "--csv", "captions.csv", "--overwrite"])
print(Path("captions.csv").read_text(encoding="utf-8"))
