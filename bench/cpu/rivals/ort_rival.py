#!/usr/bin/env python3
"""onnxruntime as a contestant.   python ort_rival.py --peer onnxruntime[-fused]-{f32,int8} --model DIR --serve"""

import os
import time

import protocol

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

IMPORTED = time.perf_counter()
FILES = {
    "onnxruntime-f32": "model.onnx",
    "onnxruntime-fused-f32": "model_fused.onnx",
    "onnxruntime-int8": "model_quantized.onnx",
    "onnxruntime-fused-int8": "model_fused_int8.onnx",
}


class Session(protocol.PaddedRival):
    def __init__(self, peer, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = protocol.THREADS
        options.inter_op_num_threads = 1
        file = os.path.join(path, "onnx", FILES[peer])
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def hidden(self, ids, mask):
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return self.session.run(["last_hidden_state"], feeds)[0]


def main():
    options = protocol.options()
    protocol.serve(options.peer, options.model, Session(options.peer, options.model), IMPORTED)


if __name__ == "__main__":
    main()
