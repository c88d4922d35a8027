import pytest

from utils.data import shapes
from utils.data.datasets import load_dataset
from utils.errors import InputError


@pytest.fixture
def flickr8k(tmp_path, save_photo):
    """Make a folder like that of Flickr8k's authors. It has the known faults of the real files."""
    for name in ("1_a.jpg", "2_b.jpg", "3_c.jpg", "5_e.jpg"):
        save_photo(f"Flicker8k_Dataset/{name}")
    (tmp_path / "Flickr8k.token.txt").write_text(
        "1_a.jpg#0\tA dog .\n1_a.jpg#1\tA dog, running .\n2_b.jpg#0\tTwo cats\n3_c.jpg#0\tA bird\n"
        "4_d.jpg#0\tNo such photo\n5_e.jpg.1#0\tA stray key\n"
    )
    for split, names in {"train": "1_a.jpg\n2_b.jpg", "dev": "3_c.jpg\n", "test": "4_d.jpg\n"}.items():
        (tmp_path / f"Flickr_8k.{split}Images.txt").write_text(names)
    return tmp_path


def test_the_original_layout(flickr8k):
    dataset = load_dataset("flickr8k", flickr8k)
    table = [(photo.id, photo.split, photo.references) for photo in dataset.photos]
    assert table == [
        ("1_a.jpg", "train", ("A dog .", "A dog, running .")),
        ("2_b.jpg", "train", ("Two cats",)),
        ("3_c.jpg", "val", ("A bird",)),
    ]
    assert all(photo.path.is_file() for photo in dataset.photos)
    notes = "\n".join(dataset.notes)
    assert "1 of 1 photos of split test are not in" in notes
    assert "1 captioned images are in no split" in notes


def test_a_split_without_photos_is_an_error(flickr8k):
    with pytest.raises(InputError, match=r"no photos in split test \(there are: train, val\)"):
        load_dataset("flickr8k", flickr8k).split("test")


def test_kaggle_layout_keeps_commas_and_quotes(tmp_path, save_photo):
    save_photo("Images/1_a.jpg")
    (tmp_path / "captions.txt").write_text('image,caption\n1_a.jpg,"A dog, a ""big"" one ."\n1_a.jpg,A dog .\n')
    (photo,) = load_dataset("flickr8k", tmp_path).photos
    assert photo.references == ('A dog, a "big" one .', "A dog .")


def test_a_split_by_hash_survives_additions(tmp_path, save_photo):
    names = [f"{i}.png" for i in range(60)]
    for name in names:
        save_photo(f"Images/{name}", size=(2, 2))

    def write(kept):
        return (tmp_path / "captions.txt").write_text("image,caption\n" + "".join(f"{n},A dog\n" for n in kept))

    write(names[:40])
    before = {photo.id: photo.split for photo in load_dataset("flickr8k", tmp_path).photos}
    write(reversed(names))
    after = {photo.id: photo.split for photo in load_dataset("flickr8k", tmp_path).photos}
    assert before.items() <= after.items()
    assert set(after.values()) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("Flickr8k.token.txt", "1.jpg#0\tA dog\n1.jpg A dog\n", "line 2"),
        ("captions.txt", "image caption\n", "line 1"),
        ("captions.txt", "image,caption\n1.jpg,A dog, running\n", "line 2"),
    ],
)
def test_an_invalid_line_is_an_error_with_its_line_number(tmp_path, save_photo, file, text, line):
    save_photo("Images/1.jpg")
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=f"{file}, {line}"):
        load_dataset("flickr8k", tmp_path)


def test_missing_captions_and_photos_are_reported(tmp_path, save_photo):
    with pytest.raises(InputError, match="no such folder"):
        load_dataset("flickr8k", tmp_path / "nowhere")
    with pytest.raises(
        InputError, match=r"no captions of flickr8k in this folder .*Flickr8k\.token\.txt, captions\.txt"
    ):
        load_dataset("flickr8k", tmp_path)
    (tmp_path / "captions.txt").write_text("image,caption\n1.jpg,A dog\n")
    with pytest.raises(InputError, match="has captions but no photos"):
        load_dataset("flickr8k", tmp_path)
    save_photo("Images/other.jpg")
    with pytest.raises(InputError, match="none of the 1 captioned photos"):
        load_dataset("flickr8k", tmp_path)


def test_real_flickr8k_in_both_layouts(shared, tmp_path):
    dataset = load_dataset("flickr8k", shared / "flickr8k")
    assert [len(dataset.split(split)) for split in ("train", "val")] == [6000, 1000]
    assert {len(photo.references) for photo in dataset.photos} == {5}
    assert any("1000 of 1000 photos of split test are not in" in note for note in dataset.notes)

    for name in ("Flicker8k_Dataset", *(f"Flickr_8k.{s}Images.txt" for s in ("train", "dev", "test"))):
        (tmp_path / name).symlink_to(shared / "flickr8k" / name)
    (tmp_path / "captions.txt").symlink_to(shared / "flickr8k" / "kaggle" / "captions.txt")
    kaggle = load_dataset("flickr8k", tmp_path)
    table = lambda photos: [(photo.id, photo.path.name, photo.split, photo.references) for photo in photos]  # noqa: E731
    assert table(kaggle.photos) == table(dataset.photos)
    assert table(kaggle.missing) == table(dataset.missing)


def test_a_part_of_coco_can_be_read(shared):
    dataset = load_dataset("coco", shared / "coco")
    assert [len(dataset.split(split)) for split in ("train", "val")] == [20, 40]
    assert len(dataset.missing) == 4960
    assert any(note.startswith("4960 of 5000 photos of split val are not in") for note in dataset.notes)
    (photo,) = [photo for photo in dataset.photos if photo.id == "139"]
    assert photo.path == shared / "coco" / "val2017" / "000000000139.jpg"
    assert "A woman stands in the dining area at the table." in photo.references


def test_several_datasets_are_combined_with_unique_ids(tmp_path, save_photo):
    for name, split in {"a": "train", "b": "val"}.items():
        save_photo(f"{name}/1.jpg")
        (tmp_path / name / "captions.csv").write_text(f"image,caption,split\n1.jpg,Of {name},{split}\n")
    table = load_dataset("custom+coco", [tmp_path / "a", tmp_path / "b"])
    assert table.name == "custom+coco"
    assert [(p.id, p.split) for p in table.photos] == [("custom/1.jpg", "train"), ("coco/1.jpg", "val")]
    assert all(note.startswith(("custom: ", "coco: ")) for note in table.notes)


def test_test_photos_of_flickr8k_are_not_training_photos_of_flickr30k(tmp_path, save_photo):
    tables = {
        "flickr8k": "12_ab.jpg,A,test\n34_cd.jpg,B,train\n",
        "flickr30k": "12.jpg,A,train\n34.jpg,B,train\n56.jpg,C,val\n",
    }
    for name, rows in tables.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "captions.csv").write_text("image,caption,split\n" + rows)
        for row in rows.splitlines():
            save_photo(f"{name}/{row.split(',')[0]}")
    table = load_dataset("+".join(tables), [tmp_path / name for name in tables])
    assert [p.id for p in table.photos if p.split == "train"] == ["flickr8k/34_cd.jpg", "flickr30k/34.jpg"]
    assert "1 training photos are skipped: they are validation or test photos of the other dataset" in table.notes


def test_own_photos_in_folders_with_some_splits_given(tmp_path, save_photo):
    for name in ("a/1.jpg", "b/1.jpg", "deep/c/2.png", "c/3.png"):
        save_photo(name)
    (tmp_path / "captions.csv").write_text(
        "image,caption,split\na/1.jpg,A dog,train\nb\\1.jpg,A cat,val\n2.png,A bird,\nd/4.png,Lost,\n"
    )
    dataset = load_dataset("custom", tmp_path)
    found = {photo.id: photo.path.relative_to(tmp_path).as_posix() for photo in dataset.photos}
    assert found == {"a/1.jpg": "a/1.jpg", "b/1.jpg": "b/1.jpg", "2.png": "deep/c/2.png"}
    assert [photo.id for photo in dataset.missing] == ["d/4.png"]
    assert "no split is given for 2 photos: photos are divided 80/10/10 % by a hash of their names" in dataset.notes


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("dog.JPG", "Dog.jpg"),
        ("dog.jpg", "dog"),
        ("dog.v2.jpg", "dog.v2"),
        ("dog.jpg", "dog.HEIC"),
        ("dog.jpg.jpg", "dog.jpg"),
        ("images/dog.jpg", "D:\\album\\images\\dog.jpg"),
        ("images/dog.jpg", "/Users/ann/album/Dog.jpg"),
        ("images/dog.jpg", "photos/dog.jpg"),
        ("h\u00fcnd.jpg", "Hu\u0308nd.jpg"),
        ("hu\u0308nd.jpg", "h\u00fcnd.jpg"),
        ("my dog.jpg", "https://example.org/album/my%20Dog.jpg?width=300"),
    ],
)
def test_a_similar_name_is_matched_and_counted(tmp_path, save_photo, file, name):
    save_photo(file)
    save_photo("images/other.jpg")
    (tmp_path / "captions.csv").write_text(f"image,caption,split\n{name},A dog,train\nother.jpg,Else,train\n", "utf-8")
    dataset = load_dataset("custom", tmp_path)
    assert sorted(photo.path.name for photo in dataset.photos) == sorted([file.split("/")[-1], "other.jpg"])
    assert any(note.startswith("1 names differ from those of photos only") for note in dataset.notes)
    assert not dataset.uncaptioned


def test_a_name_that_fits_several_photos_is_not_matched(tmp_path, save_photo):
    for file in ("a/1.JPG", "b/1.JPG", "2.jpg", "c/3.jpg", "5.jpg"):
        save_photo(file)
    rows = ["1", "x/2.jpg", "2.jpg", "D:/x/3.jpg", "D:/y/3.jpg", "5.jpg"]  # 2.jpg and 5.jpg have an exact match
    (tmp_path / "captions.csv").write_text("image,caption,split\n" + "".join(f"{row},Of {row},train\n" for row in rows))
    dataset = load_dataset("custom", tmp_path)
    assert {photo.id for photo in dataset.photos} == {"2.jpg", "5.jpg"}
    assert len(dataset.missing) == 4
    assert any(note.startswith("3 names are not matched") for note in dataset.notes)


def test_of_several_photos_the_one_in_the_same_folder_is_matched(tmp_path, save_photo):
    save_photo("a/1.jpg")
    save_photo("b/1.jpg")
    (tmp_path / "captions.csv").write_text("image,caption,split\nD:\\B\\1.jpg,B,val\nD:\\A\\1.jpg,A,train\n")
    photos = load_dataset("custom", tmp_path).photos
    assert [(photo.path.parent.name, photo.references) for photo in photos] == [("a", ("A",)), ("b", ("B",))]


def test_names_that_differ_only_in_case_are_one_photo(tmp_path, save_photo):
    save_photo("Dog.jpg")
    (tmp_path / "captions.csv").write_text("image,caption,split\ndog.jpg,A,\nDOG.jpg,B,train\ndog,C,\n")
    (photo,) = load_dataset("custom", tmp_path).photos
    assert (photo.split, photo.references) == ("train", ("A", "B", "C"))


def test_if_no_name_fits_a_name_from_captions_and_folder_is_shown(tmp_path, save_photo):
    save_photo("images/IMG_1.jpg")
    (tmp_path / "captions.csv").write_text("image,caption\nbeach.jpg,A dog\n")
    with pytest.raises(InputError, match=r"photos like beach.jpg, the folder has 1 photos like images/IMG_1.jpg"):
        load_dataset("custom", tmp_path)


def test_captions_that_are_all_empty_are_an_error_that_says_so(tmp_path, save_photo):
    save_photo("1.jpg")
    (tmp_path / "captions.csv").write_text("image,caption\n1.jpg,\n")
    with pytest.raises(InputError, match=r"captions.csv: no photo has a caption \(1 empty captions are skipped\)"):
        load_dataset("custom", tmp_path)


def test_a_spreadsheet_without_a_table_is_named_in_the_error(tmp_path, save_photo):
    save_photo("1.jpg")
    (tmp_path / "My captions.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"save My captions.xlsx as captions.csv"):
        load_dataset("custom", tmp_path)


@pytest.mark.parametrize("caption", ["一只狗在草地上奔跑", "犬が草の上を走っている", "สุนัขวิ่งบนหญ้า"])
def test_captions_without_spaces_between_words_give_a_warning(tmp_path, save_photo, caption):
    for number in range(2):
        save_photo(f"{number}.jpg")
    table = tmp_path / "captions.csv"
    table.write_text(f"image,caption,split\n0.jpg,{caption},train\n1.jpg,{caption},val\n", "utf-8")
    (note,) = [note for note in load_dataset("custom", tmp_path).notes if note.startswith("warning")]
    assert "2 of 2 captions have no spaces between words" in note and "jieba" in note
    table.write_text("image,caption,split\n0.jpg,一 只 狗 在 奔跑,train\n1.jpg,Собака бежит,val\n", "utf-8")
    assert not any(note.startswith("warning") for note in load_dataset("custom", tmp_path).notes)


def test_one_of_few_photos_is_moved_to_val(tmp_path, save_photo):
    """The hashes choose none of 1.jpg to 5.jpg for val. If the captions file has splits, they are not changed."""
    for number in range(1, 6):
        save_photo(f"{number}.jpg")
    table = tmp_path / "captions.csv"
    table.write_text("image,caption\n" + "".join(f"{n}.jpg,A dog\n" for n in range(1, 6)))
    dataset = load_dataset("custom", tmp_path)
    (chosen,) = dataset.split("val")
    assert len(dataset.photos) == 5 and dataset.split("train")
    assert any(f": {chosen.id} is moved from train to val" in note for note in dataset.notes)
    table.write_text("image,caption,split\n" + "".join(f"{n}.jpg,A dog,train\n" for n in range(1, 6)))
    with pytest.raises(InputError, match="no photos in split val"):
        load_dataset("custom", tmp_path).split("val")


def test_captions_in_no_split_and_empty_ones_are_counted(tmp_path, save_photo):
    save_photo("1.jpg")
    save_photo("2.jpg")
    (tmp_path / "captions.csv").write_text("image,caption,split\n1.jpg,A dog,train\n1.jpg,  ,train\n2.jpg,,train\n")
    notes = load_dataset("custom", tmp_path).notes
    assert "2 empty captions are skipped" in notes
    assert "1 photos of split train have no caption" in notes


def test_a_folder_with_a_link_to_itself_is_read_once(tmp_path, save_photo):
    save_photo("photos/1.jpg")
    (tmp_path / "photos" / "again").symlink_to(tmp_path)
    (tmp_path / "captions.csv").write_text("image,caption,split\n1.jpg,A dog,train\n")
    assert len(load_dataset("custom", tmp_path).photos) == 1


def test_shapes_are_generated_once_and_depend_on_the_seed_only(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "COUNTS", dict.fromkeys(shapes.COUNTS, 40))
    dataset = load_dataset("shapes", tmp_path / "one")
    assert {len(photo.references) for photo in dataset.photos} == {5}
    first = dataset.photos[0].path
    drawn = first.stat().st_mtime_ns
    assert load_dataset("shapes", tmp_path / "one").photos == dataset.photos
    assert first.stat().st_mtime_ns == drawn
