"""List the addresses, sizes and hashes of the published datasets.

For a dataset that only a person may download, there are instructions for the user.

COCO's sizes and SHA-256 come from tensorflow_datasets/url_checksums/coco.txt of
TensorFlow Datasets. The MD5 of Flickr8k's two archives and of Karpathy's archive
come from the datasets of mlverse/torchvision.
"""

from collections import namedtuple

from utils.data.fetch.download import Remote

# An archive of a dataset:
#   remote: a Remote, which says where the archive is.
#   keep: patterns of the names of the files to unpack.
#   shows, count: the archive counts as unpacked if at least `count` files match the pattern `shows`.
#   gigabytes: the approximate size of the archive, and also of its unpacked files.
#   optional: True if the dataset is usable without this archive.
Release = namedtuple("Release", "remote keep shows count gigabytes optional", defaults=(False,))

_BROWNLEE = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/"
_COCO = ("http://images.cocodataset.org/", "https://s3.amazonaws.com/images.cocodataset.org/")
_KARPATHY = Remote(
    "caption_datasets.zip",
    (
        "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip",
        "https://huggingface.co/datasets/gpantaz/karpathy_split/resolve/main/caption_datasets.zip",
    ),
    None,
    "md5:4fa8c08369d22fe16e41dc124bd1adc2",
)


def _coco(path, size, sha256):
    """Make the Remote of one of COCO's archives: its name, addresses, size in bytes and hash.

    `path` is the path of the archive on COCO's servers. `sha256` is the hash in hexadecimal.
    """
    return Remote(path.rsplit("/", 1)[-1], tuple(mirror + path for mirror in _COCO), size, f"sha256:{sha256}")


RELEASES = {
    "flickr8k": (
        Release(
            Remote(
                "Flickr8k_text.zip", (_BROWNLEE + "Flickr8k_text.zip",), None, "md5:bf6c1abcb8e4a833b7f922104de18627"
            ),
            ("*Flickr8k.token.txt", "*Flickr_8k.*Images.txt"), "Flickr8k.token.txt", 1, 0.01,
        ),
        Release(
            Remote(
                "Flickr8k_Dataset.zip", (_BROWNLEE + "Flickr8k_Dataset.zip",), None,
                "md5:f18a1e2920de5bd84dae7cf08ec78978",
            ),
            ("*.jpg",), "*.jpg", 8091, 1.2,
        ),
    ),
    "flickr30k": (
        Release(_KARPATHY, ("*dataset_flickr30k.json",), "dataset_flickr30k.json", 1, 0.2),
    ),
    "coco": (
        Release(_KARPATHY, ("*dataset_coco.json",), "dataset_coco.json", 1, 0.2, optional=True),
        Release(
            _coco("annotations/annotations_trainval2017.zip", 252907541,
                  "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268"),
            ("*captions_*.json",), "captions_*2017.json", 2, 0.3,
        ),
        Release(
            _coco("zips/val2017.zip", 815585330,
                  "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05"),
            ("*val2017/*.jpg",), "val2017/*.jpg", 5000, 0.9,
        ),
        Release(
            _coco("zips/train2017.zip", 19336861798,
                  "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929"),
            ("*train2017/*.jpg",), "train2017/*.jpg", 118287, 19.5,
        ),
    ),
}  # fmt: skip

# Instructions for the user, for datasets whose photos are available on request only.
BY_HAND = {
    "flickr30k": """Flickr30k's 31,783 photos (4.4 GB) are available to people who agree to Flickr's terms.
Choose one way:
  1. Fill in the form at https://shannon.cs.illinois.edu/DenotationGraph/. The answer has a link
     to flickr30k-images.tar. Put this file into {folder}.
  2. Log in at https://www.kaggle.com/datasets/hsankesara/flickr-image-dataset, click "Download",
     and put the archive.zip into {folder}.
  3. With a Kaggle token, run
       pip install kagglehub
       python -c "import kagglehub; print(kagglehub.dataset_download('hsankesara/flickr-image-dataset'))"
     and use the printed folder as --data_dir.
Then run this command again. It unpacks and verifies the files.""",
}
