#!/usr/bin/env python3
"""Writes a checkpoint in the shape of deberta-v3-base with random weights.   python make_deberta.py DIR SEED"""

import sys

import torch
from transformers import DebertaV2Config, DebertaV2Model

CONFIG = {
    "vocab_size": 128_100,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 0,
    "layer_norm_eps": 1e-7,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
}


def main():
    directory, seed = sys.argv[1:]
    torch.manual_seed(int(seed))
    DebertaV2Model(DebertaV2Config(**CONFIG)).save_pretrained(directory)


if __name__ == "__main__":
    main()
