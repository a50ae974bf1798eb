"""report.html at the size of HotpotQA's dev set: how large it is, how soon one sees it, how fast it filters.

    PYTHONPATH=workflow:benchmarks python benchmarks/report.py

A run of 7,405 questions and six experiments is made up (benchmarks/made_up_run.py) and its report opened in
Chromium (found on the PATH, driven by Playwright), without and with the passages' text. The reference is a
page of the same data as plain JSON, which is parsed whole before anything is shown: what a report is that
takes no care. Ratios are the reference's figure by ours.
"""

import argparse
import base64
import re
import shutil
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

from made_up_run import verb, write_run

BLOCK = re.compile(r'<script type="text/plain" id="(\w+)">([^<]*)</script>')
REFERENCE = """<!doctype html><meta charset="utf-8"><body><script>
const parsed = [];
addEventListener("DOMContentLoaded", () => {
  for (const script of document.querySelectorAll("script[type]")) parsed.push(JSON.parse(script.textContent));
  document.body.dataset.shown = "all";
});
</script>
"""
FILTER = """(f) => {
  const begun = performance.now();
  document.querySelector(`#chips [data-filter="${f}"]`).click();
  document.querySelector(".list").getBoundingClientRect();
  return performance.now() - begun;
}"""
SEARCH = """(words) => {
  const begun = performance.now();
  const search = document.getElementById("search");
  search.value = words;
  search.dispatchEvent(new Event("input", { bubbles: true }));
  document.querySelector(".list").getBoundingClientRect();
  return performance.now() - begun;
}"""


def write_reference(report: Path, path: Path) -> None:
    """The data of a report, unpacked, in a page that parses all of it."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(REFERENCE)
        for block in BLOCK.finditer(report.read_text(encoding="utf-8")):
            text = zlib.decompress(base64.b64decode(block[2]), -zlib.MAX_WBITS).decode()
            file.write(f'<script type="application/json">{text.replace("<", chr(92) + "u003c")}</script>\n')


def opened(browser: Any, path: Path, address: str = "") -> tuple[Any, float]:
    """The page, and the seconds from the start of loading until its first view is complete."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    begun = time.perf_counter()
    page.goto(f"{path.as_uri()}#{address}", wait_until="commit", timeout=120_000)
    page.wait_for_selector("body[data-shown]", timeout=120_000, state="attached")
    return page, time.perf_counter() - begun


def measure(browser: Any, report: Path, reference: Path, repeat: int) -> None:
    """Print what one report weighs and takes."""
    sizes = report.stat().st_size / 1e6, reference.stat().st_size / 1e6
    print(f"  size           {sizes[0]:7.1f} MB   plain JSON {sizes[1]:7.1f} MB   ratio {sizes[1] / sizes[0]:.1f}")
    times = [min(_closed(opened(browser, path)) for _ in range(repeat)) for path in (report, reference)]
    print(f"  first view     {times[0]:7.2f} s    plain JSON {times[1]:7.2f} s    ratio {times[1] / times[0]:.1f}")
    page, seconds = opened(browser, report, "v=questions")
    print(f"  question list  {seconds:7.2f} s")
    filters = [page.evaluate(FILTER, f) for f in ("wrong", "near", "missed", "disagree", "") for _ in range(repeat)]
    searches = [page.evaluate(SEARCH, words) for words in ("a", "ka", "kalo", "no such", "") for _ in range(repeat)]
    print(f"  filter         {max(filters):7.0f} ms at most, of {len(filters)}")
    print(f"  search         {max(searches):7.0f} ms at most, of {len(searches)}")
    page.close()


def _closed(found: tuple[Any, float]) -> float:
    found[0].close()
    return found[1]


def run(folder: Path, arguments: argparse.Namespace) -> None:
    """Make the run and its reports, and measure them."""
    from playwright.sync_api import sync_playwright

    if not (folder / "leaderboard.csv").is_file():
        write_run(folder, arguments.questions)
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        sys.exit("no Chromium on the PATH: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for passages, words in (("none", "without"), ("all", "with")):
            report, reference = folder / f"{passages}.html", folder / f"{passages}-reference.html"
            begun = time.perf_counter()
            verb("report", "--results", folder, "--passages", passages, "--output", report)
            seconds = time.perf_counter() - begun
            print(f"{arguments.questions} questions x 6 experiments, {words} passages, written in {seconds:.0f} s")
            write_reference(report, reference)
            measure(browser, report, reference, arguments.repeat)
        browser.close()


def main() -> int:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=7_405)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the run here, and take it from here when it is there")
    arguments = parser.parse_args()
    if arguments.folder:
        run(arguments.folder, arguments)
    else:
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder), arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
