"""Fixtures: a browser, where chromium and playwright are installed."""

import shutil

import pytest
from windows import DESKTOP

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    """A browser without a screen; tests that need it skip where it is absent."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    library = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with library.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Return a function that opens a page in a window; what goes wrong there fails the test."""
    contexts, wrong = [], []

    def opened(path, window=DESKTOP, **settings):
        contexts.append(browser.new_context(viewport=window, **settings))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: wrong.append(request.url[:80])
                if not request.url.startswith(("file:", "data:")) else None)  # fmt: skip
        page.set_default_timeout(5000)
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong
