#!/usr/bin/env node
// onnxruntime-node and transformers.js as contestants.
//   node onnx_rival.mjs --peer onnxruntime-node[-fused]-{f32,int8} | transformers.js-{f32,int8} --model DIR --serve
// RIVALS_MODULES: the node_modules folder that holds them.
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { THREADS, contestantOptions, secondsSince, serve } from '../protocol.mjs';
import { batchIndices, collectMeans, pad } from './padded_batches.mjs';

const started = performance.now();
const { peer, model } = contestantOptions();
const require = createRequire(join(resolve(process.env.RIVALS_MODULES), '..', 'index.js'));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const sessionOptions = { intraOpNumThreads: THREADS, interOpNumThreads: 1 };
const INPUTS = ['input_ids', 'attention_mask', 'token_type_ids'];

const FILES = {
  'onnxruntime-node-f32': 'model.onnx',
  'onnxruntime-node-fused-f32': 'model_fused.onnx',
  'onnxruntime-node-int8': 'model_quantized.onnx',
  'onnxruntime-node-fused-int8': 'model_fused_int8.onnx',
};

/** A function from a padded batch to its last hidden state, and when the import was done. */
async function openSession() {
  const { default: ort } = await load('onnxruntime-node');
  const imported = performance.now();
  const session = await ort.InferenceSession.create(join(model, 'onnx', FILES[peer]), sessionOptions);
  const tensor = (data, dims) => new ort.Tensor('int64', data, dims);
  return { imported, tensor, forward: (feeds) => session.run(feeds) };
}

async function openTransformersJs() {
  const { AutoModel, Tensor, env } = await load('@huggingface/transformers');
  const imported = performance.now();
  env.allowRemoteModels = false;
  env.localModelPath = dirname(resolve(model));
  const loaded = await AutoModel.from_pretrained(basename(model), {
    dtype: peer.endsWith('int8') ? 'q8' : 'fp32',
    device: 'cpu',
    session_options: sessionOptions,
  });
  return {
    imported,
    tensor: (data, dims) => new Tensor('int64', data, dims),
    forward: (feeds) => loaded(feeds),
  };
}

const { imported, tensor, forward } = await (peer.startsWith('transformers.js')
  ? openTransformersJs()
  : openSession());

async function hiddenOf(batch) {
  const feeds = Object.fromEntries(INPUTS.map((name) => [name, tensor(batch[name], batch.dims)]));
  return (await forward(feeds)).last_hidden_state.data;
}

await serve(
  {
    peer,
    model: basename(model),
    import_s: (imported - started) / 1e3,
    load_s: secondsSince(imported),
  },
  {
    prepare: (sequences, mode) => batchIndices(sequences, mode).map((indices) => pad(sequences, indices)),
    async run(batches) {
      for (const batch of batches) await hiddenOf(batch);
    },
    async embed(batches) {
      const out = [];
      for (const batch of batches) collectMeans(batch, await hiddenOf(batch), out);
      return out;
    },
  },
);
// Sessions keep threads alive.
process.exit(0);
