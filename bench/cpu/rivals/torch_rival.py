#!/usr/bin/env python3
"""PyTorch as a contestant: transformers as people call it, and what an expert would write without padding.

    python torch_rival.py --peer PEER --model DIR --serve

torch-{f32,bf16}                transformers' BertModel on padded batches, scaled_dot_product_attention
torch-packed-{f32,bf16}         the products over all real tokens at once, attention a sequence at a time
torch-packed-onednn-{f32,bf16}  the same with weights packed by oneDNN, bias and GELU in its epilogue
torch-auto-{f32,bf16}           AutoModel of any architecture on padded batches
"""

import time
import warnings

import protocol

import numpy as np  # noqa: E402
import torch  # noqa: E402

warnings.filterwarnings("ignore")
from transformers import AutoModel, BertModel  # noqa: E402
from transformers.utils import logging  # noqa: E402

logging.disable_progress_bar()
IMPORTED = time.perf_counter()


def _dtype(peer):
    return torch.bfloat16 if peer.endswith("bf16") else torch.float32


class Padded(protocol.PaddedRival):
    def __init__(self, peer, path):
        if "auto" in peer:
            self.model = AutoModel.from_pretrained(path, dtype=_dtype(peer)).eval()
        else:
            self.model = BertModel.from_pretrained(
                path, add_pooling_layer=False, attn_implementation="sdpa", dtype=_dtype(peer)
            ).eval()

    @torch.inference_mode()
    def hidden(self, ids, mask):
        ids, mask = torch.from_numpy(ids), torch.from_numpy(mask)
        output = self.model(input_ids=ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids))
        return output.last_hidden_state.float()


def _plain_linear(weight, bias, gelu):
    def linear(x):
        y = torch.nn.functional.linear(x, weight, bias)
        return torch.nn.functional.gelu(y) if gelu else y

    return linear


def _onednn_linear(weight, bias, gelu):
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())
    epilogue = ("gelu", [], "none") if gelu else ("none", [], "")
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, *epilogue)


class Packed:
    """One matrix of all real tokens; only attention knows where a sequence ends."""

    @torch.inference_mode()
    def __init__(self, peer, path):
        model = BertModel.from_pretrained(path, add_pooling_layer=False, dtype=_dtype(peer)).eval()
        make = _onednn_linear if "onednn" in peer else _plain_linear
        self.embeddings = model.embeddings
        self.heads = model.config.num_attention_heads
        self.layers = [self._layer(layer, make) for layer in model.encoder.layer]

    @staticmethod
    def _layer(layer, make):
        attention = layer.attention.self
        parts = (attention.query, attention.key, attention.value)
        return (
            make(torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts]), False),
            make(layer.attention.output.dense.weight, layer.attention.output.dense.bias, False),
            layer.attention.output.LayerNorm,
            make(layer.intermediate.dense.weight, layer.intermediate.dense.bias, True),
            make(layer.output.dense.weight, layer.output.dense.bias, False),
            layer.output.LayerNorm,
        )

    def prepare(self, sequences, mode):
        lengths = [len(sequence) for sequence in sequences]
        ids = torch.from_numpy(np.concatenate([np.asarray(sequence) for sequence in sequences]))
        positions = torch.from_numpy(np.concatenate([np.arange(length) for length in lengths]))
        return ids, positions, lengths

    def _attention(self, qkv, lengths):
        hidden = qkv.shape[1] // 3
        out = qkv.new_empty(qkv.shape[0], hidden)
        begin = 0
        for length in lengths:
            rows = slice(begin, begin + length)
            q, k, v = qkv[rows].view(length, 3, self.heads, -1).permute(1, 2, 0, 3).unsqueeze(1)
            context = torch.nn.functional.scaled_dot_product_attention(q, k, v)
            out[rows] = context[0].transpose(0, 1).reshape(length, hidden)
            begin += length
        return out

    @torch.inference_mode()
    def run(self, batch):
        ids, positions, lengths = batch
        table = self.embeddings
        x = table.word_embeddings(ids) + table.position_embeddings(positions) + table.token_type_embeddings.weight[0]
        x = table.LayerNorm(x)
        for qkv, output, attention_norm, up, down, norm in self.layers:
            x = attention_norm(output(self._attention(qkv(x), lengths)) + x)
            x = norm(down(up(x)) + x)
        return x

    def embed(self, batch):
        return [rows.float().mean(0).tolist() for rows in torch.split(self.run(batch), batch[2])]


def main():
    options = protocol.options()
    torch.set_num_threads(protocol.THREADS)
    rival = (Packed if "packed" in options.peer else Padded)(options.peer, options.model)
    protocol.serve(options.peer, options.model, rival, IMPORTED)


if __name__ == "__main__":
    main()
