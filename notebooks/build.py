"""Make the notebooks at the root from their sources in this folder.

`python notebooks/build.py` writes the notebooks. It keeps the stored outputs of cells that did not change.
`--execute train inference` also runs the notebooks that are named, and stores their outputs.
"""

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from utils.training.recipes import RECIPES

NAMES = ("train", "evaluate", "inference")


def repository():
    """Return the repository's public address. It is set in pyproject.toml alone."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["notebooks"]["repository"]


def badge(name):
    """Return the Markdown of a badge that opens a notebook in Colab."""
    path = repository().removeprefix("https://github.com/")
    return (
        "[![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
        f"(https://colab.research.google.com/github/{path}/blob/main/{name}.ipynb)"
    )


def make_notebook(name):
    """Make a notebook from its source.

    In the source, `# %%` begins a cell. [markdown] or [parameters] after it names the kind of the cell.
    """
    text = (HERE / f"{name}.py").read_text(encoding="utf-8")
    setup = (HERE / "setup.py").read_text(encoding="utf-8")
    text = text.replace("# SETUP\n", setup).replace("BADGE", badge(name)).replace("REPOSITORY", repository())
    text = text.replace("DATASETS", json.dumps(list(RECIPES)))
    cells = []
    for number, part in enumerate(re.split(r"^# %%", text, flags=re.M)[1:]):
        head, body = part.split("\n", 1)
        if "[markdown]" in head:
            body = re.sub(r"^# ?", "", body, flags=re.M)
            cell = nbformat.v4.new_markdown_cell(body.strip())
        else:
            # IPython's own commands stand in comments, so that sources are Python.
            body = re.sub(r"^(\s*)# ([%!]\w.*)$", r"\1\2", body, flags=re.M)
            cell = nbformat.v4.new_code_cell(body.strip())
            if "[parameters]" in head:
                cell.metadata["tags"] = ["parameters"]
            if "@param" in body:
                cell.metadata["cellView"] = "form"
        cell["id"] = f"{name}-{number}"
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "accelerator": "GPU", "colab": {"provenance": [], "toc_visible": True}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def build(name, execute):
    """Write a notebook, with outputs from a run of it or from before."""
    path, notebook = ROOT / f"{name}.ipynb", make_notebook(name)
    if execute:
        # Of progress, streams that are joined keep what is to be seen at the end.
        where = {"metadata": {"path": str(ROOT)}}
        NotebookClient(notebook, timeout=3600, resources=where, coalesce_streams=True).execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times, which would change with every run
        del notebook.metadata["language_info"]  # of the Python that ran it
    elif path.exists():
        before = {cell["id"]: cell for cell in nbformat.read(path, 4).cells}
        for cell in notebook.cells:
            old = before.get(cell["id"])
            if cell.cell_type == "code" and old and old.source == cell.source:
                cell.outputs, cell.execution_count = old.outputs, old.execution_count
    nbformat.write(notebook, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--execute", nargs="+", choices=NAMES, default=(), help="run these and store what they show")
    arguments = parser.parse_args()
    for notebook_name in NAMES:
        build(notebook_name, notebook_name in arguments.execute)
