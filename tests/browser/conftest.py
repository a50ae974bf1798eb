"""A real Chromium, and reports to open in it: of a real run, of a large one, and of texts that mean harm."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hopeval.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "resources" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
NAMES = ("chromium", "chromium-browser", "google-chrome")
LOADS_MS = 30_000
RUNS_S = 900


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium. Tests are skipped where it or Playwright is missing."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"NO BROWSER TEST RUNS: none of {', '.join(NAMES)} is here; apt-get install chromium")
    pytest.importorskip("playwright.sync_api", reason="NO BROWSER TEST RUNS: playwright is not installed")
    return path


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """Chromium, driven by Playwright.

    For one module: while Playwright lives an event loop runs in this thread, and no other can be started.
    """
    from playwright.sync_api import sync_playwright

    root = hasattr(os, "geteuid") and os.geteuid() == 0  # as root Chromium refuses to sandbox itself
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"] if root else [])
        yield opened
        opened.close()


class Page:
    """A tab. What goes wrong in it is noted: errors, and requests for anything but the file itself."""

    def __init__(self, tab: Any) -> None:
        self.tab, self.wrong = tab, []
        tab.on("console", lambda message: message.type in ("error", "warning") and self.wrong.append(message.text))
        tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        tab.on("dialog", lambda dialog: (self.wrong.append(dialog.message), dialog.dismiss()))
        tab.on("request", self._note)

    def _note(self, request: Any) -> None:
        if request.url != "data:," and not (request.url.startswith("file:") and request.is_navigation_request()):
            self.wrong.append(request.url)

    def open(self, report: Path, address: str = "") -> "Page":
        """The report at an address such as ``v=compare``."""
        self.tab.goto("about:blank")
        self.tab.goto(f"{report.as_uri()}#{address}")
        self.tab.wait_for_selector("body[data-shown]", timeout=LOADS_MS, state="attached")
        return self

    def go(self, address: str) -> "Page":
        """Another address of the same report, as a link leads there."""
        self.tab.evaluate("address => { location.hash = address }", address)
        return self.arrived()

    def arrived(self) -> "Page":
        """When what the address asks for is shown."""
        for _ in range(600):
            if self.tab.evaluate("document.body.dataset.shown === location.hash"):
                return self
            self.tab.wait_for_timeout(50)
        raise AssertionError(f"{self.address} was never shown")

    def click(self, selector: str) -> "Page":
        """Click, and wait for where that leads."""
        self.tab.click(selector)
        return self.arrived()

    def press(self, key: str) -> "Page":
        """Press a key, and wait for where that leads."""
        self.tab.keyboard.press(key)
        return self.arrived()

    @property
    def address(self) -> str:
        """The address as the page has it; the ``url`` that Playwright keeps of a tab lags behind."""
        return str(self.tab.evaluate("location.hash"))

    @property
    def text(self) -> str:
        """The words of the part that is shown."""
        return str(self.tab.inner_text("main > section:not([hidden])"))

    def texts(self, selector: str) -> list[str]:
        """The words of each element."""
        return [str(text).strip() for text in self.tab.locator(selector).all_inner_texts()]

    @property
    def found(self) -> int:
        """How many questions the list says it shows."""
        return int(self.tab.inner_text("#found").split(" of ")[0].replace(",", ""))

    @property
    def overflows(self) -> bool:
        """Whether one would have to scroll sideways."""
        return bool(self.tab.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


@pytest.fixture
def page(browser: Any) -> Iterator[Callable[..., Page]]:
    """Opens a tab; after the test nothing must have gone wrong in any."""
    contexts, pages = [], []

    def make(width: int = 1440, height: int = 900, **options: Any) -> Page:
        # Without motion the page is at once as it is to be.
        settled = {"viewport": {"width": width, "height": height}, "reduced_motion": "reduce"}
        contexts.append(browser.new_context(**{**settled, **options}))
        pages.append(Page(contexts[-1].new_page()))
        return pages[-1]

    yield make
    wrong = [message for opened in pages for message in opened.wrong]
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="session")
def sample(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of a real run over the first questions of the sample, by Snakemake and the real model."""
    place = tmp_path_factory.mktemp("sample")
    if MODEL.is_file():
        (place / "resources" / "models").mkdir(parents=True)
        shutil.copy(MODEL, place / "resources" / "models")
    mine = {"dataset": {"max_questions": 8}, "readers": {"smollm2": {"prices": {"prompt": 1.0, "completion": 2.0}}}}
    (place / "mine.yaml").write_text(yaml.safe_dump(mine))
    profile = ["--workflow-profile", str(ROOT / "profiles" / "default")]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *profile, "--cores", "2"]
    done = subprocess.run(
        [*command, "--configfile", "mine.yaml"], cwd=place, capture_output=True, text=True, timeout=RUNS_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "results" / "sample"


@pytest.fixture(scope="session")
def verb() -> Callable[..., str]:
    """Runs a verb in this process, for runs that tests share. Fails when the exit code is not 0."""

    def run(*arguments: Any) -> str:
        assert main([str(argument) for argument in arguments]) == 0
        return ""

    return run
