# %% [markdown]
# ## Set up
# In Colab this cell clones the project; elsewhere start Jupyter in the project's folder. Nothing needs a restart.

# %%
import os

if not os.path.exists("utils/captioner.py"):
    # !git clone --quiet --depth 1 REPOSITORY captioning
    os.chdir("captioning")
# %run notebooks/start.py
