"""What int8 costs in onnxruntime, which padless's own errors are held to: dynamic int8 of each fixture's export.

One export a length, so that masks and distances are constants and nothing but the weights' arithmetic changes.
"""

import copy
import inspect
import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench/cpu/rivals"))

import export_onnx  # noqa: E402  (int8 as the benchmark makes it)
from generator import error_file, fixtures, references  # noqa: E402
from generator.half_precision import stored_errors  # noqa: E402
from generator.references import Reference, Sequence  # noqa: E402


def _layer_masks(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    """Gemma 3's masks by the type of the layer: it makes them by vmap, which torch's tracer cannot follow."""
    if model.config.model_type != "gemma3_text":
        return None
    masks = {}
    for layer, kind in zip(model.base_model.layers, model.config.layer_types):
        layer.register_forward_pre_hook(
            lambda _layer, _args, options, kind=kind: masks.update({kind: options["attention_mask"]}), with_kwargs=True
        )
    with torch.no_grad():
        model(**inputs)
    return masks


class _Exported(torch.nn.Module):
    """Tensors in, the outputs' tensors out."""

    def __init__(self, reference: Reference, masks: dict[str, torch.Tensor] | None):
        super().__init__()
        self.model = reference.fresh_model()
        self.outputs = reference.outputs
        self.masks = masks

    def forward(self, input_ids, token_type_ids=None):
        inputs = {"input_ids": input_ids}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        if self.masks:
            inputs["attention_mask"] = self.masks
        elif "attention_mask" in inspect.signature(self.model.forward).parameters:
            # Without one, causal masks look for packed sequences by an operator that ONNX lacks.
            inputs["attention_mask"] = torch.ones_like(input_ids)
        return tuple(references.outputs_of(self.model, inputs, self.outputs).values())


def _fold_shared_weights(path: Path) -> None:
    """Gives every product its own weight: one behind an alias or a transposition would stay in float32."""
    model = onnx.load(path)
    graph = model.graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    folds = {"Identity": lambda value, _: value, "Transpose": lambda value, order: np.transpose(value, order)}
    for node in list(graph.node):
        if node.op_type not in folds or node.input[0] not in constants:
            continue
        order = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), None)
        value = np.ascontiguousarray(folds[node.op_type](constants[node.input[0]], order))
        constants[node.output[0]] = value
        graph.initializer.append(onnx.numpy_helper.from_array(value, node.output[0]))
        graph.node.remove(node)
    onnx.save(model, path)


class _Quantized:
    """The outputs of a sequence by onnxruntime, exported at the first sequence of a length."""

    def __init__(self, reference: Reference):
        self.reference = reference
        self.sessions: dict[int, onnxruntime.InferenceSession] = {}

    def _session(self, inputs: dict[str, torch.Tensor]) -> onnxruntime.InferenceSession:
        length = inputs["input_ids"].shape[1]
        if length not in self.sessions:
            masks = _layer_masks(copy.deepcopy(self.reference.model), inputs)
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                plain, int8 = Path(folder, "plain.onnx"), Path(folder, "int8.onnx")
                torch.onnx.export(
                    _Exported(self.reference, masks).eval(),
                    tuple(inputs.values()),
                    str(plain),
                    opset_version=17,
                    dynamo=False,
                    input_names=list(inputs),
                )
                _fold_shared_weights(plain)
                export_onnx.export_int8(plain, int8)
                self.sessions[length] = onnxruntime.InferenceSession(str(int8), providers=["CPUExecutionProvider"])
        return self.sessions[length]

    def __call__(self, sequence: Sequence) -> dict[str, torch.Tensor]:
        inputs = references.inputs_of(sequence)
        session = self._session(inputs)
        used = {value.name for value in session.get_inputs()}
        feeds = {name: value.numpy() for name, value in inputs.items() if name in used}
        return {
            name: torch.from_numpy(value) for name, value in zip(self.reference.outputs, session.run(None, feeds))
        }


def _errors(fixture: "fixtures.Fixture", folder: Path) -> dict[str, float]:
    reference = fixtures.load_reference(fixture, folder / "checkpoint", torch.float32)
    cases = json.loads((folder / "cases.json").read_text())
    return stored_errors(_Quantized(reference), reference.outputs, cases, load_file(folder / "expected.safetensors"))


def write(all_fixtures: "list[fixtures.Fixture]", models: Path, path: Path, only: str | None) -> int:
    logging.getLogger().setLevel(logging.ERROR)  # advice on preparing a model before quantizing it
    versions = {"transformers": transformers.__version__, "onnxruntime": onnxruntime.__version__}
    return error_file.update(path, versions, all_fixtures, lambda fixture: _errors(fixture, models / fixture.name), only)
