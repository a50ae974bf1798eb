"""What is wrong with a reader is told before the model is loaded."""

import json
import subprocess
from pathlib import Path

import pytest

TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
REFUSED = [
    ({"options": {"max_num_seq": 4}}, "options.max_num_seq: vLLM has no such argument (did you mean 'max_num_seqs'?)"),
    ({"options": {"max_num_seqs": "many"}}, "options.max_num_seqs: found 'many': Input should be a valid integer"),
    ({"options": {"gpu_memory_utilization": 3.0}}, "options.gpu_memory_utilization: found 3.0: "),
    ({"options": {"dtype": "float17"}}, "options.dtype: found 'float17': "),
    ({"options": {"quantization": "none_such"}}, "options.quantization: found 'none_such': "),
    ({"options": {"speculative_config": {"methode": "ngram"}}}, "options.speculative_config: found {'methode': "),
    ({"options": {"reasoning_parser": "qwen33"}}, "options.reasoning_parser: found 'qwen33': "),
    ({"options": {"reasoning_parser": "deepseek_r1"}}, "could not locate think start/end tokens"),
    ({"options": {"tensor_parallel_size": 2}}, "is not set here, but by the reader's tensor_parallel"),
    ({"options": {"data_parallel_size": 2}}, "options.data_parallel_size: a job has one engine on one host"),
    ({"context_window": 100_000}, "context_window: found 100000: "),
    ({"gpus": 1}, "gpus: 1, but the vLLM that is installed computes on CPUs"),
    ({"tensor_parallel": 2}, "tensor_parallel: 2 × pipeline_parallel 1 are 2 GPUs, but gpus is 0"),
    ({"chat_template": "{missing}"}, "chat_template: {missing}: cannot be read: "),
    ({"chat_template": "{broken}"}, "chat_template: {broken}: "),
    ({"model": "{untold}"}, "name a Jinja file in the reader's chat_template"),
    ({"model": "{missing}"}, "model: no config.json in {missing}; name the folder of a model"),
    ({"model": "{torn}"}, "model: vLLM cannot use {torn}"),
    ({"model": "{confused}"}, "model: vLLM cannot use {confused}"),
    ({"model": "{untold}", "chat_template": "{template}"}, ""),
    ({"options": {"default_chat_template_kwargs": {"enable_thinking": False}, "max_model_len": 512}}, ""),
]


@pytest.fixture(scope="module")
def places(model, variant, tmp_path_factory):
    """Paths by the names that stand for them above."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "broken.jinja").write_text("{% for message in %}")
    (folder / "template.jinja").write_text(TEMPLATE)
    return {
        "missing": folder / "missing",
        "broken": folder / "broken.jinja",
        "template": folder / "template.jinja",
        "untold": variant("untold", without=["chat_template.jinja"]),
        "torn": variant("torn", model=b"torn"),
        "confused": variant("confused", config=b'{"architectures": ["NoSuchModel"], "model_type": "none_such"}'),
    }


def named(value, places):
    """The value with the paths in it."""
    if isinstance(value, str) and value.startswith("{"):
        return str(places[value[1:-1]])
    return value


@pytest.fixture(scope="module")
def said(python, model, places, environment):
    """What each of them is told, by one process."""
    sections = [
        {"engine": "vllm", "model": str(model), **{key: named(value, places) for key, value in settings.items()}}
        for settings, _ in REFUSED
    ]
    done = subprocess.run(
        [str(python), str(Path(__file__).with_name("refusals.py"))],
        input=json.dumps(sections),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=[json.dumps(settings) for settings, _ in REFUSED])
def test_wrong_settings_are_told_under_their_key(said, places, number):
    words = REFUSED[number][1]
    for name, path in places.items():
        words = words.replace(f"{{{name}}}", str(path))
    assert words in said[number]
    assert bool(words) == bool(said[number])
    assert "\n" not in said[number]


def test_a_wrong_option_ends_the_job_with_2(shard, ask):
    ended = shard(options={"max_num_seq": 4}).run([ask("q", "Who?")])
    assert ended.code == 2
    assert ended.words.splitlines()[-1].startswith("hopeval infer: options.max_num_seq: ")
    assert "Traceback" not in ended.words
    assert "EngineCore" not in ended.words
