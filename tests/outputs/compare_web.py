"""Compare the page of `export.py --format web` with inference.py, in headless Chromium on this machine.

    python -m tests.outputs.compare_web --model models/flickr8k --dataset flickr8k --data_dir ../shared/flickr8k

It needs chromium, chromedriver and requirements-dev.txt, and some minutes. It exports the page, lets the browser
caption photos, and reports equal captions, differences, times, memory, all requests, and sizes. The exit status is 1 if
fewer than 98 % of the captions are equal, or if a request went elsewhere or came after loading.
"""

import gzip
import json
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.web_page import find_chromium, serve, start_chromium, status, wait
from utils import console
from utils.errors import InputError

# Share of captions that must be equal.
_ENOUGH = 0.98

# Seconds that the browser may take to load the model, and for one photo.
_PATIENCE = 300

# Seconds between the end of loading and the first photo. Until then the browser may fetch service.js again: it checks
# every page that it opens for a newer version of this file.
_SETTLE = 5

# Suffixes of files that web hosts such as GitHub Pages compress when they send them.
_COMPRESSIBLE = {".html", ".css", ".js", ".mjs", ".json", ".svg", ".txt"}


def parse_arguments():
    """Read the command line. Returns an argparse.Namespace."""
    parser = console.Parser(__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/flickr8k"), help="default: models/flickr8k")
    console.add_dataset_flags(parser, ["flickr8k", "flickr30k", "coco", "custom"])
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="photos of a folder in place of a dataset's val")
    parser.add_argument("--count", type=console.number(int, 1), default=100, help="number of photos (default: 100)")
    parser.add_argument("--beam_size", type=console.number(int, 1, 9), nargs="+", default=[1, 5], help="default: 1 5")
    parser.add_argument(
        "--precision",
        choices=("auto", "float32"),
        nargs="+",
        default=["auto"],
        help="of the encoder that the page is compared with; auto: that of inference.py, bfloat16 on some machines. "
        "The page computes in float32 (default: auto)",
    )
    parsed = parser.parse_args()
    if not parsed.photos:
        console.name_datasets(parser, parsed)
    return parsed


def find_photos(arguments):
    """Return the paths of the photos, the first `--count` of the dataset's `val` or of the folder by name."""
    from utils.data import datasets, photo_files

    if arguments.photos:
        return photo_files.find_photos(arguments.photos)[: arguments.count]
    photos = datasets.load_dataset(arguments.dataset, arguments.data_dir).split("val")
    return [photo.path for photo in photos[: arguments.count]]


def memory_of(process):
    """Return the memory in bytes that a process and all its descendants use. Shared memory counts once."""
    parents, sizes = {}, Counter()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # the process has ended
            parents[folder.name] = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            sizes[folder.name] = 1024 * int((folder / "smaps_rollup").read_text().split("Pss:")[1].split()[0])

    def belongs(number):
        return number == str(process) or (number in parents and belongs(parents[number]))

    return sum(size for number, size in sizes.items() if belongs(number))


def requested(log, address):
    """Read which requests the browser sent, also from workers, from the file of `--log-net-log`.

    Args:
        log: the file, a Path.
        address: the address of the page.

    Returns:
        Two lists of addresses outside the page's server: those that the page asked for, and those that the browser
        asked for by itself, such as its search for updates.
    """
    content = json.loads(log.read_text(encoding="utf-8"))
    start = content["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    pages, browsers = [], []
    for each in content["events"]:
        facts = each.get("params", {})
        if each["type"] == start and "url" in facts and not facts["url"].startswith(address):
            (pages if facts["initiator"].startswith(address.rstrip("/")) else browsers).append(facts["url"])
    return pages, browsers


def run_page(folder, photos, work):
    """Let a fresh browser load the page and caption photos.

    Args:
        folder: the folder of the page, a Path.
        photos: paths of the photos.
        work: an empty folder for the browser's files, a Path.

    Returns:
        A dict: `captions`, the list that the page's button "Download JSON" saves; `failed`, the number of photos
        without caption; `loaded`, seconds from opening the page until the model was loaded; `start`, seconds from
        giving the photos until the first caption; `first`, the sum of both; `rate`, photos a second after the first;
        `memory`, the most bytes used; `own`, requests to the page's server; `late`, those after loading; `elsewhere`,
        requests of the page to others; `browsers`, requests of the browser itself to others; `about`, what the page
        says about itself.
    """
    (work / "downloads").mkdir(parents=True)
    log, table = work / "requests.json", work / "downloads" / "captions.json"
    flags = f"log-net-log={log}", "net-log-capture-mode=Default"
    result, memory = {}, []
    with serve(folder) as (address, asked):
        with start_chromium(work / "profile", *flags, downloads=work / "downloads") as browser:
            process = browser.service.process.pid
            began = time.perf_counter()
            browser.get(address)
            wait(browser, lambda b: status(b).startswith("Ready") or "cannot" in status(b), _PATIENCE)
            if not status(browser).startswith("Ready"):
                raise InputError(f"the page says: {status(browser)}")
            result["loaded"] = time.perf_counter() - began
            result["about"] = browser.find_element("id", "about").text
            time.sleep(_SETTLE)
            before = len(asked)
            given = time.perf_counter()
            browser.find_element("id", "files").send_keys("\n".join(str(path.resolve()) for path in photos))

            def done(count):
                memory.append(memory_of(process))
                script = "return document.querySelectorAll('.sentence, .failed').length"
                return lambda b: b.execute_script(script) >= count

            for count in range(1, len(photos) + 1):
                wait(browser, done(count), _PATIENCE)
                if count == 1:
                    result["start"] = time.perf_counter() - given
                    result["first"] = result["loaded"] + result["start"]
            result["rate"] = (len(photos) - 1) / max(time.perf_counter() - given - result["start"], 1e-9)
            memory.append(memory_of(process))
            result["failed"] = len(browser.find_elements("css selector", ".failed"))
            browser.find_element("id", "json").click()
            wait(browser, lambda _: table.is_file())
            result["captions"] = json.loads(table.read_text(encoding="utf-8"))
        result["own"], result["late"] = asked, asked[before:]
    result["elsewhere"], result["browsers"] = requested(log, address)
    return result | {"memory": max(memory)}


def compare(expected, result):
    """Compare the captions of inference.py with those of the page.

    Args:
        expected: a list of (photo's name, Caption).
        result: what `run_page` has returned.

    Returns:
        (equal, lines): the number of equal captions, and lines for a person.
    """
    written = {each["photo"]: each["captions"][0] for each in result["captions"]}
    lines, equal, differences = [], 0, []
    for name, caption in expected:
        theirs = written.get(name, {"text": "(none)"})
        if theirs["text"] != caption.text:
            lines.append(f"    {name}: {caption.text} | page: {theirs['text']}")
            continue
        equal += 1
        if caption.confidence is not None:
            differences.append(abs(caption.confidence - theirs["confidence"]))
    most = f"; largest difference of their confidences {max(differences):.4f}" if differences else ""
    return equal, [f"  {equal} of {len(expected)} captions equal{most}", *lines]


def sizes(folder, paths):
    """Return bytes on disk and bytes as a web host sends them, in all, for the files of some requests."""
    names = {urlsplit(path).path.lstrip("/") or "index.html" for path in paths}
    disk = sent = 0
    for name in names:
        content = (folder / name).read_bytes()
        disk += len(content)
        sent += len(gzip.compress(content, 6)) if Path(name).suffix in _COMPRESSIBLE else len(content)
    return disk, sent


def main():
    """Export, caption in the browser and with inference.py's Captioner, and report. Returns the exit status."""
    arguments = parse_arguments()
    if not find_chromium():
        raise InputError("chromium or chromedriver is not installed: apt install chromium chromium-driver")
    photos = find_photos(arguments)
    console.import_keras()
    from utils.captioner import Captioner
    from utils.outputs.web_export import export_web

    captioner = Captioner.from_folder(arguments.model)
    encoders = {"auto": captioner.encoder, "float32": captioner.encoder.copy(precision="float32")}
    good = True
    with tempfile.TemporaryDirectory(prefix="compare-web-") as work:
        work = Path(work)
        folder = export_web(captioner, work / "page", arguments.model)
        total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        console.say(f"{arguments.model}: {len(photos)} photos; the folder of the page has {total / 1e6:.1f} MB")
        for beam in arguments.beam_size:
            # The browser's profile is new, so it has no older copy of this file.
            description = json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))
            text = json.dumps(description | {"beam_size": beam}, ensure_ascii=False, separators=(",", ":"))
            (folder / "model" / "model.json").write_text(text, encoding="utf-8")
            result = run_page(folder, photos, work / str(beam))
            disk, sent = sizes(folder, result["own"])
            console.say(
                f"beam size {beam}: {result['about']}",
                f"  {result['loaded']:.1f} s to load; first caption {result['start']:.1f} s after its photo was given, "
                f"{result['first']:.1f} s after the page was opened; then {result['rate']:.2f} photos a second",
                f"  the browser used {result['memory'] / 1e6:.0f} MB at most; {result['failed']} photos failed",
                f"  loaded files: {disk / 1e6:.1f} MB on disk, {sent / 1e6:.1f} MB as sent with gzip",
                f"  requests: {len(result['own'])} to the page's folder, {len(result['late'])} of them after loading, "
                f"{len(result['elsewhere'])} elsewhere (the browser itself sent {len(result['browsers'])}, to "
                f"{', '.join(sorted({urlsplit(each).netloc for each in result['browsers']}))})",
                *(f"    {path}" for path in result["own"]),
                *(f"    after loading: {path}" for path in result["late"]),
                *(f"    elsewhere: {address}" for address in result["elsewhere"]),
            )
            good = good and not result["late"] and not result["elsewhere"]
            for precision in arguments.precision:
                captioner.encoder = encoders[precision]
                expected = [(path.name, each[0]) for path, each in captioner.caption_each(photos, beam)]
                equal, lines = compare(expected, result)
                console.say(f"  compared with inference.py, encoder in {captioner.encoder.precision}:", *lines)
                good = good and equal >= _ENOUGH * len(photos)
    return 0 if good else 1


if __name__ == "__main__":
    console.run(main)
