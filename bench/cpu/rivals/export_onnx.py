#!/usr/bin/env python3
"""Exports a BERT directory for onnxruntime: plain, with fused operators, and both with dynamic int8.

    python export_onnx.py DIR      writes DIR/onnx/{model,model_fused,model_quantized,model_fused_int8}.onnx
"""

import math
import sys
import warnings
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from transformers import BertModel
from transformers.utils import logging

warnings.filterwarnings("ignore")
logging.disable_progress_bar()
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]


class ClassicBert(torch.nn.Module):
    """The graph as transformers wrote it before scaled_dot_product_attention: the form that onnxruntime fuses."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def _heads(self, x):
        return x.view(x.shape[0], x.shape[1], self.model.config.num_attention_heads, -1).permute(0, 2, 1, 3)

    def forward(self, input_ids, attention_mask, token_type_ids):
        table = self.model.embeddings
        x = table.word_embeddings(input_ids) + table.token_type_embeddings(token_type_ids)
        x = table.LayerNorm(x + table.position_embeddings(table.position_ids[:, : input_ids.shape[1]]))
        mask = (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * torch.finfo(torch.float32).min
        for layer in self.model.encoder.layer:
            attention = layer.attention.self
            projected = attention.query(x)
            k, v, q = self._heads(attention.key(x)), self._heads(attention.value(x)), self._heads(projected)
            scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
            context = torch.matmul(torch.softmax(scores + mask, dim=-1), v).permute(0, 2, 1, 3).contiguous()
            context = context.view(context.shape[0], context.shape[1], self.model.config.hidden_size)
            x = layer.attention.output.LayerNorm(layer.attention.output.dense(context) + x)
            x = layer.output.LayerNorm(layer.output.dense(layer.intermediate.intermediate_act_fn(layer.intermediate.dense(x))) + x)
        return x


def export_plain(model, path):
    ids = torch.randint(1, min(1000, model.config.vocab_size), (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    axes = {0: "batch", 1: "seq"}
    torch.onnx.export(
        ClassicBert(model).eval(),
        (ids, mask, torch.zeros_like(ids)),
        str(path),
        opset_version=17,
        dynamo=False,
        input_names=INPUTS,
        output_names=["last_hidden_state"],
        dynamic_axes={name: axes for name in [*INPUTS, "last_hidden_state"]},
    )


def export_fused(config, plain, path):
    optimized = optimizer.optimize_model(
        str(plain),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        optimization_options=FusionOptions("bert"),
        opt_level=0,
        use_gpu=False,
    )
    optimized.save_model_to_file(str(path))


def export_int8(source, path):
    quantize_dynamic(
        str(source),
        str(path),
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=False,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )


def main():
    directory = Path(sys.argv[1])
    folder = directory / "onnx"
    folder.mkdir(exist_ok=True)
    model = BertModel.from_pretrained(directory, add_pooling_layer=False).eval()
    export_plain(model, folder / "model.onnx")
    export_fused(model.config, folder / "model.onnx", folder / "model_fused.onnx")
    export_int8(folder / "model.onnx", folder / "model_quantized.onnx")
    export_int8(folder / "model_fused.onnx", folder / "model_fused_int8.onnx")


if __name__ == "__main__":
    main()
