"""The report as a part of the workflow: what it takes in, when it is made anew, and Snakemake's own beside it."""

import zipfile

READING = "own_engines:ReadingEngine"


def test_snakemakes_own_report_shows_the_results(place, fake):
    place.questions(4)
    place.configure(retrievers={"given": {"kind": "given"}, "none": {"kind": "none"}}, reader=fake(READING))
    place.do()
    place.do("--report", "report.zip")
    with zipfile.ZipFile(place.folder / "report.zip") as archive:
        pages = {name: archive.read(name).decode(errors="replace") for name in archive.namelist()}
    shown = "\n".join(pages.values())
    for name in ("leaderboard.csv", "leaderboard.svg", "comparisons.csv", "recall.svg", "recall.csv", "report.html"):
        assert any(path.endswith(name) for path in pages), name
    for words in (
        "Retrieval",
        "recall at k",
        "Every pair of experiments, question by question",
        "One page with everything",
    ):
        assert words in shown, words


def test_passages_and_prices_of_the_configuration(place, fake):
    place.questions(4)
    prices = {"prices": {"prompt": 1.0, "completion": 2.0}}
    place.configure(reader=fake(READING))
    place.do()
    assert '"texts":true' in (place.results / "report.html").read_text()
    assert ",cost\n" in (place.results / "leaderboard.csv").read_text().replace("\r", "")

    # What tokens cost and what the page holds asks nothing anew.
    place.asked()
    place.configure(reader=fake(READING, **prices))
    (place.folder / "report.yaml").write_text("report: {passages: none}\n")
    run = place.do("--configfile", "mine.yaml", "report.yaml", config=None)
    assert set(run.jobs) == {"leaderboard", "provenance", "report"}
    assert place.asked() == []
    assert '"texts":false' in (place.results / "report.html").read_text()
    assert place.do("--configfile", "mine.yaml", "report.yaml", config=None).nothing_to_do
