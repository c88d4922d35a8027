"""Test that the notebooks agree with their sources and the scripts, and that they run on a tiny sample."""

import os
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest

import evaluate
import inference
import train
from notebooks.build import NAMES, badge, make_notebook
from utils.features.architectures import ARCHITECTURES
from utils.training.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[2]

# Run by the notebook's kernel before its first cell.
_TINY = """
import sys
from dataclasses import replace
sys.path.insert(0, {root!r})
from utils.data import shapes
from utils.training import recipes
recipes.RECIPES["shapes"] = replace(
    recipes.RECIPES["shapes"], epochs=2, image_size=32, layer="block2_pool", units=16, attention_units=16,
    embedding_size=16, beam_size=2,
)
shapes.COUNTS = {{"train": 40, "val": 12, "test": 8, "unseen": 8}}
"""


def form(name):
    """Read the parameters of a notebook: a dict from name to (default, choices)."""
    cell = next(cell for cell in make_notebook(name).cells if "parameters" in cell.metadata.get("tags", ()))
    lines = re.findall(r"^(\w+) = (.+?)  # @param (.+)$", cell.source, flags=re.M)
    return {key: (eval(value), eval(choices) if choices[0] == "[" else None) for key, value, choices in lines}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_its_source(name):
    stored, made = nbformat.read(ROOT / f"{name}.ipynb", 4), make_notebook(name)
    assert [(c.cell_type, c.source) for c in stored.cells] == [(c.cell_type, c.source) for c in made.cells], (
        "run python notebooks/build.py"
    )
    nbformat.validate(stored)
    for cell in stored.cells:
        assert not any(output.output_type == "error" for output in cell.get("outputs", ()))


@pytest.mark.parametrize("script", [train, evaluate, inference])
def test_forms_have_the_defaults_and_choices_of_the_scripts(script):
    fields = form(script.__name__)
    defaults = vars(script.parse_arguments([]))
    for name in fields.keys() & defaults.keys() - {"data_dir", "output_dir"}:
        default, choices = fields[name]
        if default not in ("", False) and (script, name) not in (
            (inference, "num_captions"),
            (inference, "temperature"),
        ):
            # A flag that takes several values has a form for one.
            (expected,) = defaults[name] if isinstance(defaults[name], list) else [defaults[name]]
            assert str(expected) == str(default), name
        if name == "dataset":
            assert choices == list(RECIPES)
        if name == "encoder":
            assert choices == ["", *ARCHITECTURES]


def test_the_readme_links_to_the_notebooks_where_they_are():
    readme = (ROOT / "README.md").read_text()
    assert all(badge(name) in readme for name in NAMES)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs a notebook with parameters and returns everything that it printed and showed."""
    papermill = pytest.importorskip("papermill")
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "tiny.py").write_text(_TINY.format(root=str(ROOT)))
    monkeypatch.setenv("IPYTHONDIR", str(startup.parents[1]))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("utils", "models", "notebooks", "train.py", "evaluate.py", "inference.py"):
        (tmp_path / name).symlink_to(ROOT / name)

    def call(name, **parameters):
        executed = papermill.execute_notebook(
            ROOT / f"{name}.ipynb", tmp_path / "out.ipynb", parameters, cwd=tmp_path, progress_bar=False,
            kernel_name="python3",
        )  # fmt: skip
        return nbformat.writes(executed)

    return call


@pytest.mark.slow
def test_train_evaluate_and_caption_from_top_to_bottom(run, tmp_path):
    output = run("train", output_dir="trained", epochs="2")
    assert "epoch 2:" in output
    assert (tmp_path / "trained-model.zip").exists()
    assert "is trained already" in run("train", output_dir="trained", epochs="2")

    shutil.copytree(tmp_path / "trained", tmp_path / "other")
    output = run("evaluate", model="trained", other_model="other", beam_size=2)
    assert output.count("shapes val: 12 photos, 5 references a photo") == 2

    run("inference", model="trained", num_captions=2, beam_size=2)
    rows = (tmp_path / "captions.csv").read_text().splitlines()
    assert len(rows) > 1
    assert any("grace_hopper.jpg" in row for row in rows)


def test_a_mistake_ends_a_cell_with_one_line(monkeypatch, capsys):
    notebook = pytest.importorskip("utils.notebook")
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell()
    monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
    notebook.tell_errors_in_a_line()
    result = shell.run_cell("from utils.errors import ImageError\nraise ImageError('a.jpg: is no photo')")
    assert not result.success
    output, error = capsys.readouterr()
    assert (output, error) == ("", "error: a.jpg: is no photo\n")
    shell.run_cell("1 / 0")  # a fault of the program
    assert "Traceback" in capsys.readouterr().out
