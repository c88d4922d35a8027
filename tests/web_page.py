"""A web server on loopback and headless Chromium, for tests of pages in a real browser."""

import functools
import http.server
import shutil
import threading
from contextlib import contextmanager

_FLAGS = (
    "headless no-sandbox disable-gpu disable-dev-shm-usage disable-quic no-first-run disable-background-networking "
    "disable-component-update disable-sync"
)


def find_chromium():
    """Find the browser and its driver. Returns their paths, or None if one of them is not installed."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    return found if all(found) else None


@contextmanager
def start_chromium(profile, *flags, downloads=None):
    """Run headless Chromium, which selenium drives.

    Args:
        profile: the folder of the browser's profile, a Path. An empty folder is a first visit to all pages.
        flags: more flags of the command line, without the leading dashes.
        downloads: the folder for downloaded files, or None.

    Yields:
        A selenium WebDriver.
    """
    from selenium import webdriver

    chromium, driver = find_chromium()
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS.split(), f"user-data-dir={profile}", *flags):
        options.add_argument(f"--{flag}")
    if downloads:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


@contextmanager
def serve(folder):
    """Serve a folder on loopback.

    Args:
        folder: the folder.

    Yields:
        The address, which ends in a slash, and a list to which the server adds the path of each request.
    """
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, code="-", size="-"):
            asked.append(self.path)

        def log_message(self, form, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()


def status(browser):
    """Return the text of the exported page's status line."""
    return browser.execute_script("return document.getElementById('status')?.textContent ?? ''")


def wait(browser, condition, seconds=60):
    """Wait until `condition(browser)` is true. Returns its value; raises TimeoutException."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds, 0.1).until(condition)
