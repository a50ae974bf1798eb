"""What runs again after an edit, and what does not. On a copy of the checkout, which the tests edit."""

import os

RESPONSES = "results/tiny/readers/reader/responses.jsonl"


def append(path, text):
    with open(path, "a") as file:
        file.write(text)


def test_edited_touched_and_moved_checkouts_and_settings(place, own_checkout, fake):
    place.checkout = own_checkout
    # The sample lies in the checkout and moves with it.
    dataset = {"max_questions": 4}
    place.configure(dataset=dataset, reader=fake())
    place.do()
    assert len(place.asked()) == 4

    # A moved checkout rests on a detail of Snakemake: params of other types than its own are not recorded.
    for path in own_checkout.rglob("*"):
        path.touch()
    place.checkout = own_checkout.rename(own_checkout.parent / "moved")
    package = place.checkout / "workflow" / "hopeval"
    (place.checkout / "README.md").write_text("Edited.\n")
    append(package / "commands" / "show.py", "# edited\n")
    assert place.do().nothing_to_do

    place.configure(dataset=dataset, reader=fake(max_failures=3, concurrency=7, threads=2, timeout_s=30.0))
    assert place.do().nothing_to_do

    append(package / "metrics" / "hotpotqa.py", "# edited\n")
    run = place.do()
    assert {"score", "leaderboard", "report"} <= set(run.jobs)
    assert not {"prepare", "retrieve", "plan", "infer", "merge", "predict"} & set(run.jobs)

    append(package / "report" / "page" / "style.css", "/* edited */\n")
    assert place.do().jobs == {"report": 1}

    append(package / "runner.py", "# edited\n")
    run = place.do(RESPONSES)
    assert run.jobs == {"infer": 2, "merge": 1}
    # New code that infers does not make old answers wrong.
    assert place.asked() == []


def test_changed_sampling_and_prompt_and_changed_back(place, fake):
    place.questions(4)
    (place.folder / "mine.jinja").write_text("Where, please? {{ question }}")
    prompts = {"cited": {"template": "mine.jinja"}}
    place.configure(prompts=prompts, reader=fake())
    place.do(RESPONSES)
    first = place.asked()
    assert len(set(first)) == 4

    place.configure(prompts=prompts, reader=fake(sampling={"temperature": 0.5}))
    place.do(RESPONSES)
    warmer = place.asked()
    assert len(set(warmer) - set(first)) == 4
    assert set(place.keys("readers/reader/responses.jsonl")) == set(warmer)

    rewrite(place.folder / "mine.jinja", "{{ question }} Say it.")
    place.configure(prompts=prompts, reader=fake())
    place.do(RESPONSES)
    reworded = place.asked()
    assert len(set(reworded) - set(first) - set(warmer)) == 4
    assert set(place.keys("readers/reader/responses.jsonl")) == set(reworded)

    rewrite(place.folder / "mine.jinja", "Where, please? {{ question }}")
    run = place.do(RESPONSES)
    assert run.jobs["infer"] == 2
    assert place.asked() == []
    assert set(place.keys("readers/reader/responses.jsonl")) == set(first)


def rewrite(path, text):
    """Write the text and keep the time, as some tools do: it is the content that counts."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
