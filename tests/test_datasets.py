import pytest

from utils.datasets import load_dataset
from utils.errors import InputError


@pytest.fixture
def flickr8k(tmp_path, save_photo):
    """The original layout, with the traps that the real one has."""
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
        ("captions.txt", "image;caption\n", "line 1"),
        ("captions.txt", "image,caption\n1.jpg,A dog, running\n", "line 2"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(tmp_path, save_photo, file, text, line):
    save_photo("Images/1.jpg")
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=f"{file}, {line}"):
        load_dataset("flickr8k", tmp_path)


def test_what_is_missing_is_said(tmp_path, save_photo):
    with pytest.raises(InputError, match="no such folder"):
        load_dataset("flickr8k", tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"neither Flickr8k\.token\.txt nor captions\.txt"):
        load_dataset("flickr8k", tmp_path)
    (tmp_path / "captions.txt").write_text("image,caption\n1.jpg,A dog\n")
    with pytest.raises(InputError, match="no folder of photos"):
        load_dataset("flickr8k", tmp_path)
    save_photo("Images/other.jpg")
    with pytest.raises(InputError, match="none of the 0 photos"):
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
    table = lambda photos: [(photo.id, photo.split, sorted(photo.references)) for photo in photos]  # noqa: E731
    assert table(kaggle.photos) == table(dataset.photos)


def test_shapes_are_drawn_once_and_the_same_for_a_seed(tmp_path):
    dataset = load_dataset("shapes", tmp_path / "one")
    assert {len(photo.references) for photo in dataset.photos} == {5}
    first = dataset.photos[0].path
    drawn = first.stat().st_mtime_ns
    assert load_dataset("shapes", tmp_path / "one").photos == dataset.photos
    assert first.stat().st_mtime_ns == drawn
