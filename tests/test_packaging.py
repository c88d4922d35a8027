"""pyproject.toml says what the requirements files say."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def required(name):
    """The requirements of a file, without those of the files that it names."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    return {line for line in lines if line and not line.startswith("-r")}


def test_dependencies_are_those_of_the_requirements_file():
    assert set(PROJECT["dependencies"]) == required("requirements.txt")


@pytest.mark.parametrize("extra", ["app", "export", "dev"])
def test_extras_are_those_of_their_requirements_files(extra):
    others = {each for each in PROJECT["optional-dependencies"][extra] if not each.startswith(PROJECT["name"])}
    assert others == required(f"requirements-{extra}.txt")
