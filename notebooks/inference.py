# %% [markdown]
# # How a photo becomes a sentence
# BADGE
#
# This notebook captions one photo, then takes the model apart: regions, attention, the gate, and beam search. The
# model is part of the project, so nothing else is downloaded. It knows some 2,500 words and is often wrong; see
# `models/flickr8k/README.md`.

# SETUP
# %% [markdown]
# ## 1. A photo and its caption
# `photo` is a file or an address (http…). If it is empty, Colab asks you to upload one; elsewhere the portrait of
# Grace Hopper that comes with matplotlib is used.

# %% [parameters]
photo = ""  # @param {type:"string"}
model = "models/flickr8k"  # @param {type:"string"}
beam_size = 5  # @param {type:"slider", min:1, max:10, step:1}
num_captions = 5  # @param {type:"slider", min:1, max:20, step:1}
temperature = 0.7  # @param {type:"slider", min:0.1, max:2, step:0.1}
folder = ""  # @param {type:"string"}

# %% [markdown]
# Point at a word to see where the model looked.

# %%
from IPython.display import HTML

from utils.captioner import Captioner
from utils.notebook import choose_photo
from utils.outputs.attention_html import attention_html

source = choose_photo(photo, "data/uploads")
captioner = Captioner.from_folder(model)
caption = captioner.caption([source.path], beam_size)[0]
print(caption.text)
HTML(attention_html(caption))

# %% [markdown]
# ## 2. Regions
# The encoder is a convolutional network without its classifier. It turns the photo into a grid of **regions**. Each
# region is a list of numbers, one per channel; a channel responds to one kind of pattern. The sentence is written
# from these numbers alone: the decoder never sees a pixel.

# %%
from utils.data.images import load_pixels

encoder, decoder, tokenizer = captioner.encoder, captioner.decoder, captioner.tokenizer
pixels = load_pixels(source.path, encoder.image_size)[None]
regions = encoder.encode(pixels)
print("pixels ", pixels.shape)
print("regions", regions.shape, "=", encoder.rows, "×", encoder.columns, "regions of", encoder.channels, "channels")

# %% [markdown]
# Four channels, each drawn as a grid. Bright regions respond strongly.

# %%
import numpy as np
from matplotlib.figure import Figure

from utils.notebook import show_figure

grid = regions[0].reshape(encoder.rows, encoder.columns, -1)
strongest = grid.max(axis=(0, 1)).argsort()[::-1][:4]
figure = Figure(figsize=(8, 2.2), layout="constrained")
for axis, channel in zip(figure.subplots(1, 4), strongest):
    axis.imshow(grid[..., channel], cmap="gray")
    axis.set_title(f"channel {channel}", fontsize=9)
    axis.axis("off")
show_figure(figure)

# %% [markdown]
# ## 3. Attention
# Before each word the decoder decides where to look. Its state, a vector that summarises the words so far, is the
# **query**. Each region has a **key**, a projection of its channels. Bahdanau attention compares the query with every
# key by a small network:
#
# $$e_i = v^\top \tanh(W_a a_i + W_h h), \qquad \alpha = \mathrm{softmax}(s\,e), \qquad c = \sum_i \alpha_i a_i$$
#
# The sharpness s is a fixed number, usually 1. The weights α are positive and sum to 1. The **context** c is the mean
# of the regions, weighted by α. Here are these formulas as code; the project's layer is in `utils/model/attention.py`.

# %%
from keras import ops


def attend(layer, query, keys, values):
    """One query per caption: query (batch, captions, units), keys and values (batch, regions, …)."""
    projected = layer.query_projection(query)  # W_h h: (batch, captions, attention units)
    hidden = ops.tanh(keys[:, None] + projected[:, :, None])  # (batch, captions, regions, attention units)
    energies = ops.matmul(hidden, layer.energy)[..., 0]  # v · …: (batch, captions, regions)
    weights = ops.softmax(layer.sharpness * energies, axis=-1)
    return ops.matmul(weights, values), weights


memory = decoder.remember(regions)  # keys W_a a and values: computed once per photo, used for every word
state = decoder.initial_state(memory, captions=1)
context, weights = attend(decoder.attention, state.hidden, memory.keys, memory.values)
for name, array in [("keys", memory.keys), ("values", memory.values), ("query", state.hidden)]:
    print(f"{name:8}", tuple(array.shape))
print("weights ", tuple(weights.shape), "sum", round(float(ops.sum(weights)), 4))
print("context ", tuple(context.shape))

# %% [markdown]
# `decoder.step` computes the same, then the next word. The two must agree:

# %%
from utils.data.tokenizer import END, START

logits, after, attention = decoder.step(np.array([[START]]), state, memory)
print("largest difference:", float(ops.max(ops.abs(attention - weights))))
print("logits", tuple(logits.shape), "- one score for each word of the vocabulary")

# %% [markdown]
# ## 4. The gate
# Some words follow from the words before them; the photo adds little. The **gate** β, a number between 0 and 1 for each
# channel, lets the decoder turn the context down: the LSTM receives β ∘ c. Xu et al., "Show, attend and tell", 2015,
# use one number for all channels. Now one caption, word by word: the most likely word each time (greedy search), its
# probability, the runners-up, and the mean of the gate over the channels. This mean varies little between words: each
# channel has its own gate, so do not expect it to be low for every "a".

# %%
from utils.captioner import Caption
from utils.data.tokenizer import join_words
from utils.model.search import never_written

forbidden = np.asarray(never_written(len(tokenizer)))  # <pad>, <start>, <unk>
state, last, words, maps, total = decoder.initial_state(memory, 1), START, [], [], 0.0
while last != END and len(words) < captioner.max_words:
    gate = float(ops.mean(decoder.gate(state.hidden)))
    logits, state, attention = decoder.step(np.array([[last]]), state, memory)
    scores = np.where(forbidden, -np.inf, np.asarray(logits)[0, 0])
    chances = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    best = chances.argsort()[::-1][:3]
    last = int(best[0])
    total += float(np.log(chances[last]))
    if last != END:
        words.append(tokenizer.words[last])
        maps.append(np.asarray(attention).reshape(encoder.rows, encoder.columns))
    print(f"gate {gate:.2f}  " + "  ".join(f"{tokenizer.words[n]:12} {chances[n]:.2f}" for n in best))

# %% [markdown]
# And where it looked for each of these words. The maps hint at what mattered; they prove nothing.

# %%
from utils.outputs.plots import attention_figure

greedy = Caption(source.path, join_words(words), tuple(words), total, np.stack(maps))
show_figure(attention_figure(greedy))

# %% [markdown]
# ## 5. Beam search
# Greedy search cannot take a word back. **Beam search** keeps several beginnings of sentences, extends each by every
# word, and keeps the best again. Here are the three beginnings that survive each of the first five words, with the
# sum of their log-probabilities:

# %%
kept, scores = [()] * 3, np.array([0.0, -np.inf, -np.inf])  # at first there is one beginning, the empty one
state, last = decoder.initial_state(memory, 3), np.array([[START] * 3])
for _ in range(5):
    logits, state, _ = decoder.step(last, state, memory)
    logits = np.where(forbidden, -1e9, np.asarray(logits)[0])
    logits[:, END] = -1e9  # so that none ends within five words
    chances = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
    chances -= logits.max(-1, keepdims=True)
    sums = (scores[:, None] + chances).ravel()
    best = sums.argsort()[::-1][:3]
    parents, last, scores = best // len(tokenizer), best[None] % len(tokenizer), sums[best]
    kept = [(*kept[parent], tokenizer.words[word]) for parent, word in zip(parents, last[0])]
    state = type(state)(*(ops.convert_to_tensor(np.asarray(part)[:, parents]) for part in state))
    print("   ".join(f"{score:6.2f} {' '.join(words)}" for score, words in zip(scores, kept)))

# %% [markdown]
# Finished sentences are ranked by a **score**. It is the log-probability per word, so that short sentences have no
# advantage. If the model has a *consensus*, which predicts the words that people would use for the photo, the score
# also rewards these words. Here are the score, the log-probability and the text of `num_captions` different captions,
# found by a search that rewards variety:

# %%
_, captions = next(captioner.caption_each([source], beam_size, num_captions))
for each in captions:
    print(f"{each.score:7.2f}  {each.log_probability:7.2f}  {each.text}")

# %% [markdown]
# Captions can also be **sampled**: each word is drawn at random by its probability. A low temperature prefers likely
# words, a high one allows unlikely ones.

# %%
_, captions = next(captioner.caption_each([source], beam_size, num_captions, temperature))
for each in captions:
    print(f"{each.log_probability:7.2f}  {each.text}")

# %% [markdown]
# ## 6. A folder of photos
# Written to a table. `folder` may be on your Drive; if it is empty, `data/uploads` is used.

# %%
from pathlib import Path

import inference

flags = ["--image_path", folder or "data/uploads", "--model", model, "--beam_size", str(beam_size)]
inference.main([*flags, "--csv", "captions.csv", "--overwrite"])
print(Path("captions.csv").read_text(encoding="utf-8"))

# %% [markdown]
# ## Exercises
# 1. Replace the weights of `attend` by the same number for every region, and compute the context. How far is it from
#    the context with attention? What would the decoder lose?
# 2. In the greedy loop, replace `attention` by uniform weights: does the sentence change? (`decoder.step` calls the
#    layer; change `layer.energy` to zeros in a copy of the model.)
# 3. Which words have a low gate, which a high one? Try three photos.
# 4. Set `beam_size` to 1 and to 10. When does the caption change, and is it better?
# 5. Turn the photo upside down before you caption it. Which part of the sentence survives?
