"""What compute nodes without internet need beforehand."""


def test_it_is_the_questions_and_the_models_and_nothing_else(place, fake):
    place.questions()
    hub = {"repo": "owner/name", "file": "model.gguf", "revision": "1234"}
    place.configure(reader=fake(), smollm2={}, hub={"engine": "llamacpp", "model": hub})
    run = place.do("prefetch", "--dry-run")
    assert run.jobs == {"prepare": 1, "embedded_model": 1, "hub_file": 1, "prefetch": 1}
    assert "resources/models/owner/name/1234/model.gguf" in run.output


def test_it_is_there_afterwards(place, fake):
    place.questions()
    place.configure(reader=fake())
    place.do("prefetch")
    assert (place.results / "questions.jsonl").exists()
    assert "prepare" not in place.do("--dry-run").jobs
