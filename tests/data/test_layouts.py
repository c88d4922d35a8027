"""Read a small file of each layout, and choose between several layouts."""

import json

import pytest

from utils.data.datasets import load_dataset
from utils.data.layouts import LAYOUTS, coco, flickr, karpathy, own_json, tables
from utils.data.layouts.text import Document
from utils.errors import InputError


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a text file and returns its path."""

    def save(name, text, encoding="utf-8"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if isinstance(text, str) else json.dumps(text), encoding=encoding, newline="")
        return path

    return save


def content(captions):
    return {name: (image.split, image.captions) for name, image in captions.images.items()}


def test_token_files_of_flickr8k_and_flickr30k(write):
    path = write("results_20130124.token", "1000092795.jpg#0\tTwo young guys .\n1000092795.jpg#1\tTwo   men\r\n")
    assert content(flickr.read_token_file(path)) == {"1000092795.jpg": (None, ["Two young guys .", "Two men"])}


def test_the_annotations_of_flickr30ks_copies(write):
    text = (
        "raw,sentids,split,filename,img_id\n"
        '"[""A ""A, B"" dog ."", ""Two dogs .""]","[0, 1]",train,1000092795.jpg,0\n'.replace('""A, B""', '\\""A, B\\""')
        + '"[""A cat .""]",[2],val,10002456.jpg,1\n'
    )
    captions = flickr.read_annotations_30k(write("flickr_annotations_30k.csv", text))
    assert content(captions) == {
        "1000092795.jpg": ("train", ['A "A, B" dog .', "Two dogs ."]),
        "10002456.jpg": ("val", ["A cat ."]),
    }


def test_flickr30ks_table_with_a_missing_separator(write):
    path = write(
        "results.csv",
        "image_name| comment_number| comment\n"
        '1000092795.jpg| 0| A "red", red dog .\n'
        "2199200615.jpg| 3| A dog .\n"
        "2199200615.jpg| 4   A dog runs across the grass .\n",
    )
    captions = tables.read(path)
    assert content(captions) == {
        "1000092795.jpg": (None, ['A "red", red dog .']),
        "2199200615.jpg": (None, ["A dog .", "A dog runs across the grass ."]),
    }
    assert captions.all_notes() == ["1 rows without a second separator were repaired (line 4)"]


@pytest.mark.parametrize(
    "text",
    [
        'image,caption\na.jpg,"A dog, a ""big"" one ."\n',
        'image_name,comment_number,comment\na.jpg,0,"A dog, a ""big"" one ."\n',
        'image;caption\na.jpg;"A dog, a ""big"" one ."\n',
        '\ufeffImage\tCaption\r\na.jpg\t"A dog, a ""big"" one ."\r\n',
    ],
)
def test_tables_as_kaggle_and_spreadsheets_write_them(write, text):
    assert content(tables.read(write("captions.csv", text))) == {"a.jpg": (None, ['A dog, a "big" one .'])}


@pytest.mark.parametrize(
    "text",
    [
        'image, caption\na.jpg, "A dog, a good one"\n',
        'image,caption\n"a.jpg" , "A dog, a good one" \n',
        "sep=;\nimage;caption;;\na.jpg;A dog, a good one;;\n;;;\n",
        '"sep=;"\nimage;caption\na.jpg;"A dog, a good one";;\n',
        "sep=|\nfile_name|text\na.jpg|A dog, a good one\n",
        "File Name;Text;Score\na.jpg;A dog, a good one;3\n",
        "photo;number;caption;log_probability\na.jpg;1;A dog, a good one;-3.5\n",
        'image,caption\r\na.jpg,"A dog,\r\n\r\na good one"\r\n',
        'image,caption\ra.jpg,"A dog, a good one"\r',
        ',image,caption\n0,a.jpg,"A dog, a good one"\n',
        "\n\nimage\tcaption\na.jpg\tA dog, a good one\n",
    ],
)
def test_tables_with_spaces_around_quotes_and_with_additions_of_spreadsheets(write, text):
    assert content(tables.read(write("captions.csv", text))) == {"a.jpg": (None, ["A dog, a good one"])}


def test_lines_are_joined_only_to_a_complete_row(write):
    """The quote in line 2 is never closed. Only the row in lines 3 and 4 has a line end in quotes."""
    text = 'image\tcaption\na.jpg\t"Hi" he says\nb.jpg\t"A cat\nsits"\nc.jpg\t"A bird\nd.jpg\tA cow\n'
    assert content(tables.read(write("captions.tsv", text))) == {
        "a.jpg": (None, ['"Hi" he says']),
        "b.jpg": (None, ["A cat sits"]),
        "c.jpg": (None, ['"A bird']),
        "d.jpg": (None, ["A cow"]),
    }


@pytest.mark.parametrize("text", ["\"['A dog, running', 'A cat']\"", '"[""A dog, running"", ""A cat""]"'])
def test_a_list_of_captions_in_a_field_of_a_table(write, text):
    path = write("captions.csv", f"image,captions\na.jpg,{text}\nb.jpg,['a]\nc.jpg,[a dog]\n")
    expected = {"a.jpg": ["A dog, running", "A cat"], "b.jpg": ["['a]"], "c.jpg": ["[a dog]"]}
    assert {name: image.captions for name, image in tables.read(path).images.items()} == expected


def test_a_table_with_several_captions_per_row(write):
    path = write(
        "captions.csv", "split,image,caption1,caption 2,caption_3\ntrain,a.jpg,A,B,\nval,b.jpg,,C,\n,c.jpg,,,\n"
    )
    captions = tables.read(path)
    assert content(captions) == {"a.jpg": ("train", ["A", "B"]), "b.jpg": ("val", ["C"]), "c.jpg": (None, [])}
    assert captions.empty == 1


def test_own_table_with_splits(write):
    path = write("captions.csv", "image,caption,split\na.jpg,A dog,train\na.jpg,A cat,\nb\\c.jpg,A bird,validation\n")
    assert content(tables.read(path)) == {"a.jpg": ("train", ["A dog", "A cat"]), "b/c.jpg": ("val", ["A bird"])}


@pytest.mark.parametrize(
    "records",
    [
        {"a.jpg": ["A dog", "A cat"], "b.jpg": "A bird"},
        [{"image": "a.jpg", "captions": ["A dog", "A cat"]}, {"image": "b.jpg", "caption": "A bird"}],
    ],
)
def test_own_json(write, records):
    captions = own_json.read(write("captions.json", records))
    assert content(captions) == {"a.jpg": (None, ["A dog", "A cat"]), "b.jpg": (None, ["A bird"])}


def test_null_is_an_empty_caption(write):
    rows = [{"image": "a.jpg", "caption": None}, {"image": "b.jpg", "caption1": "A dog", "caption2": None}]
    captions = own_json.read(write("captions.json", rows))
    assert content(captions) == {"a.jpg": (None, []), "b.jpg": (None, ["A dog"])}
    assert captions.empty == 2


@pytest.mark.parametrize(("own_id", "image_id"), [(1, "1"), (1.0, 1), ("1", 1.0), (1.5, 1.5)])
def test_an_id_in_ones_own_file_of_cocos_form_may_be_a_number_or_text(write, own_id, image_id):
    images, annotations = [{"id": own_id, "file_name": "a.jpg"}], [{"image_id": image_id, "caption": "A dog"}]
    captions = own_json.read(write("captions.json", {"images": images, "annotations": annotations}))
    assert content(captions) == {"a.jpg": (None, ["A dog"])}


HUGGING_FACE = '{"file_name": "1.jpg", "text": "A dog."}\n{"file_name": "2.jpg", "text": "A cat."}\n'
OWN_COCO = {
    "images": [{"id": "x", "file_name": "1.jpg"}, {"id": 7, "file_name": "2.jpg"}],
    "annotations": [{"image_id": "x", "caption": "A dog."}, {"image_id": 7, "caption": "A cat."}],
}
OWN_KARPATHY = {
    "dataset": "holidays",
    "images": [
        {"filename": "1.jpg", "sentences": [{"raw": "A dog."}]},
        {"filename": "2.jpg", "sentences": [{"raw": "A cat."}]},
    ],
}


@pytest.mark.parametrize(
    "files",
    [
        {"metadata.jsonl": HUGGING_FACE},
        {"metadata.csv": "file_name,text\n1.jpg,A dog.\n2.jpg,A cat.\n"},
        {"captions.jsonl": HUGGING_FACE},
        {"captions.json": HUGGING_FACE},
        {"metadata.jsonl": [{"file_name": "1.jpg", "text": "A dog."}, {"file_name": "2.jpg", "text": "A cat."}]},
        {"captions.json": {"data": [{"image": "1.jpg", "text": "A dog."}, {"image": "2.jpg", "text": "A cat."}]}},
        {"captions.json": OWN_COCO},
        {"dataset.json": OWN_KARPATHY},
        {"dataset_holidays.json": OWN_KARPATHY},
        {"captions.tsv": "image\tcaption\n1.jpg\tA dog.\n2.jpg\tA cat.\n"},
        {"1.txt": "A dog.\n", "2.jpg.txt": "A cat.\n", "notes.txt": "About this album"},
        {"Captions.CSV": "image,caption\n1.jpg,A dog.\n2.jpg,A cat.\n"},
        {"1.TXT": "A dog.\n", "2.JPG.txt": "A cat.\n"},
    ],
    ids=lambda files: next(iter(files)),
)
def test_own_captions_in_the_forms_of_other_programs(write, save_photo, tmp_path, files):
    for name, text in files.items():
        write(name, text)
    save_photo("1.jpg")
    save_photo("2.jpg")
    photos = load_dataset("custom", tmp_path).photos
    assert {photo.id: photo.references for photo in photos} == {"1.jpg": ("A dog.",), "2.jpg": ("A cat.",)}


@pytest.mark.parametrize(
    "files",
    [
        {f"captions_{split}2017.json": {"images": [{"id": 1, "file_name": f"{split}.jpg"}], "annotations": [
            {"image_id": 1, "caption": "A"}]} for split in ("train", "val")},
        {f"{split}.csv": f"image,caption\n{split}.jpg,A\n" for split in ("train", "val")},
        {f"{split}/metadata.jsonl": f'{{"file_name": "{split}.jpg", "text": "A"}}\n' for split in ("train", "val")},
        {f"{split}/metadata.csv": f"file_name,text\n{split}.jpg,A\n" for split in ("train", "val")},
        {f"{split}/{split}.txt": "A\n" for split in ("train", "val")},
    ],
    ids=lambda files: next(iter(files)),
)  # fmt: skip
def test_own_captions_with_one_file_or_folder_per_split(write, save_photo, tmp_path, files):
    for name, text in files.items():
        write(name, text)
    for split in ("train", "val"):
        save_photo(f"{split}/{split}.jpg")
    assert sorted((photo.path.name, photo.split) for photo in load_dataset("custom", tmp_path).photos) == [
        ("train.jpg", "train"),
        ("val.jpg", "val"),
    ]


def test_the_name_of_the_data_folder_is_not_a_split(write, save_photo, tmp_path):
    for number in "12":
        save_photo(f"train/{number}.jpg")
    write("train/metadata.jsonl", HUGGING_FACE)
    write("test/metadata.jsonl", HUGGING_FACE)
    dataset = load_dataset("custom", tmp_path / "train")
    assert {photo.split for photo in dataset.photos} == {"train", "test"}  # by a hash of their names
    assert not dataset.missing


def karpathy_image(name, split, *sentences, **more):
    """Make the dict of an image with all fields that Karpathy's files have."""
    sentences = [{"tokens": s.lower().split(), "raw": s, "imgid": 0, "sentid": i} for i, s in enumerate(sentences)]
    return {"sentids": [0], "imgid": 0, "sentences": sentences, "split": split, "filename": name} | more


def test_karpathys_files(write):
    images = [karpathy_image("1.jpg", "train", "A dog .", "Dogs"), karpathy_image("2.jpg", "test", "A cat")]
    captions = karpathy.read(write("dataset_flickr8k.json", {"images": images, "dataset": "flickr8k"}))
    assert content(captions) == {"1.jpg": ("train", ["A dog .", "Dogs"]), "2.jpg": ("test", ["A cat"])}
    assert captions.dataset == "flickr8k"


def test_restval_of_karpathys_coco_belongs_to_train(write):
    record = {"filepath": "val2014", "cocoid": 391895}
    images = [karpathy_image("COCO_val2014_000000391895.jpg", "restval", "A man .", **record)]
    captions = karpathy.read(write("dataset_coco.json", {"images": images, "dataset": "coco"}))
    image = captions.images["391895"]
    assert (image.split, image.folder, image.file) == ("train", "val2014", "COCO_val2014_000000391895.jpg")


def coco_file(*captions):
    return {
        "info": {},
        "licenses": [],
        "images": [{"id": i, "file_name": f"{i:012d}.jpg", "height": 1, "width": 1} for i in dict(captions)],
        "annotations": [{"id": n, "image_id": i, "caption": c} for n, (i, c) in enumerate(captions)],
    }


def test_cocos_own_files(write):
    path = write("annotations/captions_train2017.json", coco_file((9, "A dog.\n"), (9, "Dogs."), (30, "A cat.")))
    write("annotations/captions_val2017.json", coco_file((7, "A bird.")))
    captions = coco.read(path)
    expected = {"9": ("train", ["A dog.", "Dogs."]), "30": ("train", ["A cat."]), "7": ("val", ["A bird."])}
    assert content(captions) == expected
    assert [image.folder for image in captions.images.values()] == ["train2017", "train2017", "val2017"]


def test_coco_captions_of_unlisted_images_are_reported(write):
    file = coco_file((9, "A dog."))
    file["annotations"].append({"id": 5, "image_id": 77, "caption": "Who?"})
    captions = coco.read(write("captions_val2014.json", file))
    assert content(captions) == {"9": ("val", ["A dog."])}
    assert "1 captions in captions_val2014.json are skipped: the file does not list" in captions.all_notes()[0]


def test_coco_photos_are_found_by_their_names_of_both_years(write, save_photo):
    for name in ("train2017/000000000009.jpg", "val2014/COCO_val2014_000000000030.jpg"):
        save_photo(name)
    images = [
        karpathy_image("COCO_train2014_000000000009.jpg", "train", "A dog", filepath="train2014", cocoid=9),
        karpathy_image("COCO_val2014_000000000030.jpg", "val", "A cat", filepath="val2014", cocoid=30),
    ]
    path = write("dataset_coco.json", {"images": images, "dataset": "coco"})
    by_karpathy = {photo.id: (photo.path, photo.references) for photo in load_dataset("coco", path.parent).photos}
    assert len(by_karpathy) == 2
    path.unlink()
    write("captions_train2017.json", coco_file((9, "A dog"), (30, "A cat")))
    assert {p.id: (p.path, p.references) for p in load_dataset("coco", path.parent).photos} == by_karpathy


def test_the_first_layout_is_read_and_the_others_are_reported(tmp_path, write, save_photo):
    """The file that was read is deleted, and then the next file must be read, until none is left."""
    save_photo("1.jpg")
    image = karpathy_image("1.jpg", "train", "Karpathy's")
    files = {
        "captions.csv": "image,caption\n1.jpg,One's own\n",
        "captions.json": {"1.jpg": "One's JSON"},
        "dataset_flickr30k.json": {"images": [image], "dataset": "flickr30k"},
        "flickr_annotations_30k.csv": ('raw,sentids,split,filename,img_id\n"[""A copy\'s""]",[0],train,1.jpg,0\n'),
        "results_20130124.token": "1.jpg#0\tThe authors'\n",
        "results.csv": "image_name| comment_number| comment\n1.jpg| 0| Kaggle's\n",
        "captions.txt": "image_name,comment_number,comment\n1.jpg,0,Kaggle's too\n",
    }
    expected = ["One's own", "One's JSON", "Karpathy's", "A copy's", "The authors'", "Kaggle's", "Kaggle's too"]
    for name, text in files.items():
        write(name, text)
    for name, caption in zip(files, expected):
        dataset = load_dataset("flickr30k", tmp_path)
        assert dataset.photos[0].references == (caption,)
        assert dataset.notes[0].startswith(f"captions from {tmp_path / name} (")
        left = list(files)[list(files).index(name) + 1 :]
        assert all(other in "".join(dataset.notes[1:2]) for other in left)
        (tmp_path / name).unlink()
    assert {name for layout in LAYOUTS if "flickr30k" in layout.datasets for name in layout.files} - files.keys() == {
        "dataset.json"
    }


def test_split_lists_of_flickr30k_without_suffixes(tmp_path, write, save_photo):
    for number in "123":
        save_photo(f"flickr30k-images/{number}.jpg")
    write("results_20130124.token", "1.jpg#0\tOne\n2.jpg#0\tTwo\n3.jpg#0\tThree\n")
    for split, number in {"train": "2", "val": "1", "test": "3"}.items():
        write(f"{split}.txt", number + "\n")
    photos = load_dataset("flickr30k", tmp_path).photos
    assert [(photo.id, photo.split) for photo in photos] == [("2.jpg", "train"), ("1.jpg", "val"), ("3.jpg", "test")]


def test_an_image_in_two_split_lists_is_an_error(tmp_path, write, save_photo):
    save_photo("1.jpg")
    write("Flickr8k.token.txt", "1.jpg#0\tOne\n")
    write("Flickr_8k.trainImages.txt", "1.jpg\n")
    write("Flickr_8k.devImages.txt", "\n1.jpg\n")
    with pytest.raises(InputError, match=r"devImages.txt, line 2: 1.jpg is also in split train"):
        load_dataset("flickr8k", tmp_path)


def test_a_file_of_another_dataset_is_an_error(tmp_path, write, save_photo):
    save_photo("1.jpg")
    write("dataset.json", {"images": [karpathy_image("1.jpg", "train", "A dog")], "dataset": "flickr8k"})
    with pytest.raises(InputError, match=r"dataset.json: captions of the dataset 'flickr8k', not of coco"):
        load_dataset("coco", tmp_path)


@pytest.mark.parametrize(
    ("reader", "text", "place"),
    [
        (flickr.read_token_file, "1.jpg#0\tA dog\n\n1.jpg A dog\n", "line 3: expected image#number"),
        (flickr.read_token_file, " #0\tA dog\n", "line 1: the name of the image is missing"),
        (tables.read, "", "line 1: expected a header"),
        (tables.read, "picture,words\n", "line 1: expected a header .* found 'picture,words'"),
        (tables.read, "sep=;\n", "line 2: expected a header"),
        (tables.read, "sep=;\nimage,caption\n", "line 2: expected a header"),
        (tables.read, "image,image,caption\n", "line 1: expected a header"),
        (tables.read, "image,caption,\na.jpg,A dog, running\n", "line 2: expected 3 fields .* in quotes"),
        (tables.read, "image,caption,split\na.jpg,A dog\n", "line 2: expected 3 fields .*found 2"),
        (tables.read, "image,caption\na.jpg,A dog, running\n", "line 2: expected 2 fields .*found 3"),
        (tables.read, 'image,caption\na.jpg,"A dog\nb.jpg,"A cat"\n', "line 2: a quote is not closed"),
        (tables.read, "image,caption,split\na.jpg,A dog,holdout\n", "line 2: unknown split 'holdout'"),
        (tables.read, "image,caption,split\na.jpg,A,train\na.jpg,B,val\n", "line 3: a.jpg is also in split train"),
        (tables.read, "image,caption\na\0.jpg,A dog\n", "line 2: a zero byte, so this is not UTF-8 text"),
        (tables.read, "image_name| comment_number| comment\na.jpg| A dog\n", "line 2: expected an image, a number"),
        (flickr.read_annotations_30k, "raw,split\n", "line 1: expected the header raw,sentids"),
        (flickr.read_annotations_30k, 'raw,sentids,split,filename,img_id\nA dog,[0],train,a.jpg,0\n', "line 2: exp"),
        (own_json.read, "[\n", "line 2: not JSON"),
        (own_json.read, '[\n{"image": "a.jpg"}]', r"line 2: \[0\]: expected a field such as caption.* found image"),
        (own_json.read, '[\n{"image": "a.jpg", "caption": "A", "captions": []}]', "expected one of caption and capt"),
        (own_json.read, '{"data": [\n{"image": "a.jpg",\n "captions": 3}]}', r"line 2: data\[0\]: captions must be"),
        (own_json.read, '[\n{"image": "a.jpg",\n "captions": 3}]', r"line 2: \[0\]: captions must be a text"),
        (own_json.read, '[\n7]', r"line 2: \[0\]: must be an object"),
        (own_json.read, '3', "line 1: expected a list of records"),
        (own_json.read, '{"a.jpg": "A",\n"a.jpg": "B"}', "line 2: 'a.jpg' appears twice"),
        (own_json.read, '{"a.jpg": "\\ud800"}', "line 1: a.jpg: the caption contains half a character"),
        (own_json.read, "[" * 100_000, "line 1: too many nested lists"),
        (own_json.read, "[" + "1" * 5000 + "]", "line 1: not JSON"),
        (karpathy.read, '{"images":\n 3}', "line 2: images: must not be a number"),
        (karpathy.read, '{"images": [\n{"split": "train"}]}', r"line 2: images\[0\]: filename is missing"),
        (karpathy.read, '{"dataset": "coco"}', "line 1: images is missing"),
        (coco.read, '{"images": [], "annotations": [{"image_id": "9"}]}', r"\[0\].image_id: must not be text"),
    ],
)  # fmt: skip
def test_invalid_content_is_an_error_with_file_and_line(write, reader, text, place):
    path = write("captions_val2017.json", text)
    with pytest.raises(InputError, match=rf"captions_val2017\.json, .*{place}"):
        reader(path)


def test_another_encoding_is_an_error_with_its_line(write):
    path = write("captions.csv", "image,caption\na.jpg,Ein Hund\nb.jpg,Zwei Mädchen\n", "latin-1")
    with pytest.raises(InputError, match=r"captions.csv, line 3: not UTF-8 text; save the file as UTF-8"):
        tables.read(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
def test_tables_in_the_encodings_of_windows(write, encoding):
    path = write("captions.csv", "image\tcaption\na.jpg\tZwei Mädchen\n", encoding)
    assert content(tables.read(path)) == {"a.jpg": (None, ["Zwei Mädchen"])}


def test_the_line_of_a_value_in_json_lines(write):
    path = write("metadata.jsonl", '{"file_name": "a.jpg", "text": "A"}\n\n{"file_name": "b.jpg", "text": 7}\n')
    with pytest.raises(InputError, match=r"metadata.jsonl, line 3: \[1\]: captions must be a text"):
        own_json.read(path)
    path.write_text('{"file_name": "a.jpg", "text": "A"}\n{"file_name": \n')
    with pytest.raises(InputError, match=r"metadata.jsonl, line 2: not JSON"):
        own_json.read(path)


def test_the_line_of_a_value_deep_in_json(write):
    document = Document(write("x.json", '{"a": {"b": [1, {"c": "}]"}]},\n "d": [[2],\n\n [3, {"e": 4}]]}'))
    assert str(document.wrong("here", "d", 1, 1, "e")).endswith("x.json, line 4: d[1][1].e: here")
    assert str(document.wrong("here", "d")).endswith("x.json, line 2: d: here")
