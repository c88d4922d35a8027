# %% [markdown]
# ## The project
# In Colab: run this cell as it is, and the project is cloned. If you uploaded its folder to Google Drive, write the
# folder's name into `drive_project`. Elsewhere, start Jupyter in the project's folder. Nothing needs a restart.

# %%
repository = "REPOSITORY"  # @param {type:"string"}
drive_project = ""  # @param {type:"string"}

import importlib.util
import os
import sys
from pathlib import Path

if drive_project:
    from google.colab import drive

    drive.mount("/content/drive")
    os.chdir(Path("/content/drive/MyDrive") / drive_project)
elif not Path("utils/captioner.py").exists():
    if not Path("captioning").exists():
        # !git clone --quiet --depth 1 {repository} captioning
        pass
    os.chdir("captioning")
sys.path.insert(0, os.getcwd())
missing = [name for name in ("tensorflow", "nltk", "pycocoevalcap", "h5py") if not importlib.util.find_spec(name)]
if missing:  # only these: what Colab has stays as it is
    # %pip install --quiet {" ".join(missing)}
    pass

from utils import console

console.import_keras()
from utils.notebook import describe_runtime, tell_errors_in_a_line

tell_errors_in_a_line()
print(describe_runtime())
