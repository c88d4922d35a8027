"""The page of app.py in a real browser, where Gradio, Selenium and Chromium are."""

import shutil
import time

import pytest

import app
from utils.data.images import sample_photo

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

_FLAGS = "headless no-sandbox disable-gpu disable-dev-shm-usage no-first-run disable-background-networking disable-sync"


@pytest.fixture
def browser(tmp_path):
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS.split(), f"user-data-dir={tmp_path}"):
        options.add_argument(f"--{flag}")
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture
def address(tiny_captioner, monkeypatch):
    pytest.importorskip("gradio")  # takes seconds, and not from those who run other tests
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    page = app.make_page(tiny_captioner)
    yield app.serve(page, prevent_thread_lock=True, quiet=True)[1]
    page.close()


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.slow
def test_a_photo_is_dropped_and_words_show_where_they_looked(browser, address, tiny_captioner, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address)
    wait = WebDriverWait(browser, 30)
    wait.until(lambda b: b.find_element(By.CSS_SELECTOR, "input[type=file]")).send_keys(str(sample_photo()))
    words = wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, ".captioned button"))
    assert tuple(word.text for word in words) == tiny_captioner.caption([sample_photo()])[0].words
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")

    def lit():
        time.sleep(0.4)  # the map fades in
        maps = browser.find_elements(By.CSS_SELECTOR, ".captioned .photo img + img")
        return [number for number, each in enumerate(maps) if each.value_of_css_property("opacity") == "1"]

    assert lit() == []
    webdriver.ActionChains(browser).move_to_element(words[-1]).perform()
    assert lit() == [len(words) - 1]
    assert words[-1].value_of_css_property("background-color") == "rgba(244, 166, 42, 1)"
    webdriver.ActionChains(browser).move_to_element(browser.find_element(By.TAG_NAME, "h1")).perform()
    for _ in range(40):
        webdriver.ActionChains(browser).send_keys(Keys.TAB).perform()
        if browser.switch_to.active_element.get_attribute("class") == "w0":
            break
    assert lit() == [0]
