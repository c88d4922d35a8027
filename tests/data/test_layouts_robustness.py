"""Read random caption files: all captions are read, or there is a one-line error with the file and the line."""

import json
import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from utils.data.layouts import coco, flickr, karpathy, own_json, tables
from utils.errors import InputError

# All examples of a test use the same `tmp_path`; each overwrites the file.
# FUZZ_EXAMPLES=2000 tries more of them.
sampled = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", 60)),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)
names = st.text("abc123_-/.", min_size=1, max_size=8).map(lambda name: f"{name.strip('/.') or 'x'}.jpg")
pairs = st.lists(st.tuples(names, words), max_size=5)

# The place of a damage, the number of deleted characters, and the inserted characters.
changes = st.tuples(st.floats(0, 1), st.integers(0, 3), st.text('",|#:{}[]\\\n\t ', max_size=3) | st.text(max_size=3))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3)
    | st.dictionaries(
        st.sampled_from(["images", "annotations", "id", "image_id", "image", "caption", "captions", "file_name",
                         "filename", "split", "sentences", "raw", "cocoid"]) | st.text(max_size=4),
        values, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


def quoted(text):
    return '"' + text.replace('"', '""') + '"'


def token_file(pairs):
    return "".join(f"{name}#{number}\t{text}\n" for number, (name, text) in enumerate(pairs))


def comma_table(pairs):
    return "image,caption\n" + "".join(f"{name},{quoted(text)}\n" for name, text in pairs)


def pipe_table(pairs):
    rows = (f"{name}| {i}| {text.replace('|', '')}\n" for i, (name, text) in enumerate(pairs))
    return "image_name| comment_number| comment\n" + "".join(rows)


def annotations_30k(pairs):
    rows = (f"{quoted(json.dumps([text]))},[0],train,{i}{name},{i}\n" for i, (name, text) in enumerate(pairs))
    return "raw,sentids,split,filename,img_id\n" + "".join(rows)


def karpathy_json(pairs):
    images = [{"filename": f"{i}{n}", "split": "val", "sentences": [{"raw": t}]} for i, (n, t) in enumerate(pairs)]
    return json.dumps({"images": images, "dataset": "flickr8k"}, indent=1)


def coco_json(pairs):
    images = [{"id": i, "file_name": name} for i, (name, _) in enumerate(pairs)]
    annotations = [{"image_id": i, "caption": text} for i, (_, text) in enumerate(pairs)]
    return json.dumps({"images": images, "annotations": annotations}, indent=1)


def wide_table(pairs):
    return "sep=;\nfile_name;text1;text2;;\n" + "".join(f"{name};{quoted(text)};;;\n" for name, text in pairs)


def own_coco(pairs):
    images = [{"id": f"a{i}", "file_name": f"{i}{name}"} for i, (name, _) in enumerate(pairs)]
    annotations = [{"image_id": f"a{i}", "caption": text} for i, (_, text) in enumerate(pairs)]
    return json.dumps({"images": images, "annotations": annotations}, indent=1)


def json_lines(pairs):
    return "".join(json.dumps({"file_name": name, "text": text}) + "\n" for name, text in pairs)


def json_object(pairs):
    return json.dumps([{"image": name, "caption": text} for name, text in pairs], indent=1)


READERS = {
    "token file": (flickr.read_token_file, token_file),
    "comma table": (tables.read, comma_table),
    "pipe table": (tables.read, pipe_table),
    "annotations": (flickr.read_annotations_30k, annotations_30k),
    "karpathy": (karpathy.read, karpathy_json),
    "coco": (coco.read, coco_json),
    "own json": (own_json.read, json_object),
    "own karpathy": (own_json.read, karpathy_json),
    "own coco": (own_json.read, own_coco),
    "json lines": (own_json.read, json_lines),
    "wide table": (tables.read, wide_table),
}

every_layout = pytest.mark.parametrize(("reader", "write"), READERS.values(), ids=READERS)


def read(reader, folder, data, write=None):
    """Read a file. Returns Captions, or None if the reader raised an error with the file and the line."""
    path = folder / ("captions.jsonl" if write is json_lines else "captions_val2017.json")
    path.write_bytes(data)
    try:
        return reader(path)
    except InputError as error:
        assert str(error).startswith(f"{path}, line ")
        assert "\n" not in str(error)
        number = int(str(error).removeprefix(f"{path}, line ").split(":")[0])
        text = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert 1 <= number <= text.count(b"\n") + 1
        return None


def total(captions):
    """Count the captions that were kept or counted as empty."""
    return captions.empty + sum(len(image.captions) for image in captions.images.values())


@every_layout
@given(pairs=pairs)
@sampled
def test_every_caption_is_read(tmp_path, reader, write, pairs):
    captions = read(reader, tmp_path, write(pairs).encode(), write)
    assert captions is not None
    assert total(captions) == len(pairs)
    kept = sorted(text for image in captions.images.values() for text in image.captions)
    normal = [" ".join(text.replace("|", "" if write is pipe_table else "|").split()) for _, text in pairs]
    assert kept == sorted(filter(None, normal))


def damage(text, change):
    """Delete and insert characters at one place of a text."""
    where, removed, inserted = change
    place = int(where * len(text))
    return text[:place] + inserted + text[place + removed :]


@pytest.mark.parametrize("layout", ["token file", "comma table", "pipe table", "wide table", "json lines"])
@given(pairs=pairs.filter(bool), change=changes)
@sampled
def test_a_damaged_line_never_removes_other_captions(tmp_path, layout, pairs, change):
    reader, write = READERS[layout]
    text = damage(write(pairs), change)
    captions = read(reader, tmp_path, text.encode("utf-8", "replace"), write)
    if captions is not None and "table" in layout and re.search("[\r\n]", change[2]):
        # The damage may be a line end in quotes, which is a part of a caption. All rows before and after it are kept.
        whole = read(reader, tmp_path, write(pairs).encode(), write)
        assert total(captions) >= total(whole) - 1
    elif captions is not None:
        lines = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff").split("\n")
        header = {"token file": 0, "json lines": 0, "wide table": 2}.get(layout, 1)
        # A row of separators only is an empty row.
        blank = " \t" if header == 0 else ' \t",;|'
        full = sum(bool(line.strip(blank)) for line in lines[header:])
        # Damage can fill the second column of captions, which adds a caption.
        assert total(captions) == full or (layout == "wide table" and total(captions) > full)


@pytest.mark.parametrize("layout", ["annotations", "karpathy", "coco", "own json", "own karpathy", "own coco"])
@given(pairs=pairs.filter(bool), change=changes)
@sampled
def test_a_damaged_file_of_json_is_read_whole_or_refused(tmp_path, layout, pairs, change):
    reader, write = READERS[layout]
    text = damage(write(pairs), change)
    captions = read(reader, tmp_path, text.encode("utf-8", "replace"), write)
    if captions is None:
        return
    if layout == "annotations":
        full = sum(bool(line.strip()) for line in text.replace("\r", "\n").split("\n")) - 1
        assert len(captions.images) == full
    elif layout == "own json":
        assert total(captions) == len(json.loads(text))
    elif layout.endswith("karpathy"):
        assert total(captions) == sum(len(image["sentences"]) for image in json.loads(text)["images"])
    else:
        strays = int(captions.notes[0].split()[0]) if captions.notes else 0
        assert total(captions) + strays == len(json.loads(text)["annotations"])


@every_layout
@given(data=st.binary(max_size=60) | words.map(str.encode))
@sampled
def test_noise_never_ends_in_a_traceback(tmp_path, reader, write, data):
    read(reader, tmp_path, data, write)


@pytest.mark.parametrize("reader", [karpathy.read, coco.read, own_json.read])
@given(value=json_values)
@sampled
def test_json_of_another_structure_never_ends_in_a_traceback(tmp_path, reader, value):
    read(reader, tmp_path, json.dumps(value).encode())
