"""What lower precisions cost elsewhere: the errors that padless's bf16 and int8 are held to.

For BERT fixtures, over all stored rows of `last_hidden_state` of all their sequences, the relative L2 error against
float64 of transformers in bfloat16, and of onnxruntime's dynamic int8 of the exported model.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers
from safetensors.numpy import load_file
from transformers import BertModel

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench/cpu/rivals"))

import export_onnx  # noqa: E402  (the same export as in the benchmark)

FIXTURES = ("bert", "bert-old-names", "bert-float16", "bert-gelu-new", "bert-head-64", "bert-one-layer")


def _rows(model_folder: Path):
    """Of each sequence: ids, token types, the stored rows' indices and their float64 values."""
    cases = json.loads((model_folder / "cases.json").read_text())
    expected = load_file(model_folder / "expected.safetensors")
    for index, sequence in enumerate(cases["sequences"]):
        yield sequence["ids"], sequence["tokenTypes"], sequence["rows"], expected[f"{index}.last_hidden_state"]


def _error(model_folder: Path, hidden) -> float:
    """Relative L2 error of `hidden(ids, token_types)`, int64 arrays [1, T], over all stored rows."""
    difference = norm = 0.0
    for ids, types, rows, wanted in _rows(model_folder):
        found = hidden(np.array([ids]), np.array([types]))[0][rows].astype(np.float64)
        difference += np.square(found - wanted).sum()
        norm += np.square(wanted).sum()
    return float(np.sqrt(difference / norm))


def _bfloat16_error(model_folder: Path) -> float:
    model = BertModel.from_pretrained(model_folder / "checkpoint", dtype=torch.bfloat16).eval()

    @torch.inference_mode()
    def hidden(ids, types):
        output = model(input_ids=torch.from_numpy(ids), token_type_ids=torch.from_numpy(types))
        return output.last_hidden_state.float().numpy()

    return _error(model_folder, hidden)


def _int8_error(model_folder: Path) -> float:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = BertModel.from_pretrained(model_folder / "checkpoint", dtype=torch.float32).eval()
        export_onnx.export_plain(model, folder / "model.onnx")
        export_onnx.export_int8(folder / "model.onnx", folder / "int8.onnx")
        session = onnxruntime.InferenceSession(str(folder / "int8.onnx"), providers=["CPUExecutionProvider"])

    def hidden(ids, types):
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}
        return session.run(None, feeds)[0]

    return _error(model_folder, hidden)


def write(models: Path, path: Path) -> int:
    versions = {"transformers": transformers.__version__, "onnxruntime": onnxruntime.__version__}
    errors = {
        name: {
            "transformersBfloat16": float(f"{_bfloat16_error(models / name):.3g}"),
            "onnxruntimeInt8": float(f"{_int8_error(models / name):.3g}"),
        }
        for name in FIXTURES
    }
    path.write_text(json.dumps({"versions": versions, "errors": errors}, indent=1) + "\n")
    return len(errors)
