"""The plain web server around a model in eager mode, with a small one in place of the real one."""

import json
import sys

import pytest

from benchmarks.answers import ask
from benchmarks.payloads import Payload
from benchmarks.process import Server, free_port, running

torch = pytest.importorskip("torch", reason="needs torch")
tokenizers = pytest.importorskip("tokenizers", reason="needs tokenizers")

TEACHER = """
import torch

class Lengths(torch.nn.Module):
    def forward(self, input_ids, attention_mask):
        return {"embedding": torch.stack([input_ids.sum(1), attention_mask.sum(1)], 1).float()}

def teacher():
    return {"module": Lengths(), "tokenizer": "TOKENIZER", "max_length": 3}
"""


def test_text_is_tokenised_cut_and_embedded(tmp_path):
    vocabulary = {"[UNK]": 0, "one": 1, "two": 2}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    teacher = tmp_path / "teacher.py"
    teacher.write_text(TEACHER.replace("TOKENIZER", str(tmp_path / "tokenizer.json")))
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.eager.server", str(teacher), "--port", str(port)]
    body = json.dumps({"inputs": [{"data": ["one two two two"]}]}).encode()

    with running(Server("eager", command, port, tmp_path / "log")) as server:
        answer = json.loads(ask(server, Payload("p", "/infer", (), body, 1)))

    assert answer["outputs"][0]["data"] == [5.0, 3.0]
