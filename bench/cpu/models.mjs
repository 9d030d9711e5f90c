// The models that are measured: random weights in the shapes that people use, and the rivals' ONNX files of them.
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BERT_BASE, MINILM, writeRandomCheckpoint } from '../../dist/demo/random_checkpoint.js';
import { runQuietly } from './processes.mjs';

const VOCABULARY = 30_522;

const writeBert = (shape) => (folder, seed) =>
  writeRandomCheckpoint(folder, { vocabSize: VOCABULARY, seed, shape });

async function writeDeberta(folder, seed, python) {
  const script = new URL('rivals/make_deberta.py', import.meta.url).pathname;
  const { status, errors } = await runQuietly(python, [script, folder, String(seed)]);
  if (status !== 0) throw new Error(`make_deberta.py failed: ${lastLine(errors)}`);
}

/** Shapes by name, and what writes a checkpoint of each. */
export const SHAPES = {
  minilm: { ...MINILM, write: writeBert(MINILM) },
  base: { ...BERT_BASE, write: writeBert(BERT_BASE) },
  deberta: { ...BERT_BASE, write: writeDeberta },
};

/**
 * Useful operations of an encoder on sequences of these lengths: a multiply and an add are two. Products of all real
 * tokens, and the two products of attention; what a rival spends on padding is not useful. DeBERTa's position scores are
 * left out: how many of them there are is the implementation's choice.
 */
export function usefulOperations({ layers, hidden, intermediate }, lengths) {
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const squares = lengths.reduce((sum, length) => sum + length * length, 0);
  return layers * (tokens * 2 * (4 * hidden * hidden + 2 * hidden * intermediate) + 4 * squares * hidden);
}

/** The folder of a model, made on first use; a folder that exists is complete. */
export async function modelFolder(data, name, seed, python) {
  const folder = join(data, 'models', `${name}-${seed}`);
  if (existsSync(folder)) return folder;
  const partial = `${folder}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  await SHAPES[name].write(partial, seed, python);
  await rename(partial, folder);
  return folder;
}

/** Exports the ONNX files that are missing; the reason why not otherwise. */
export async function exportOnnx(folder, python) {
  const complete = join(folder, 'onnx', 'model_fused_int8.onnx');
  if (existsSync(complete)) return undefined;
  if (!python)
    return 'no ONNX file: exporting one needs python with torch, transformers, onnx and onnxruntime';
  const script = new URL('rivals/export_onnx.py', import.meta.url).pathname;
  const { status, errors } = await runQuietly(python, [script, folder]);
  return status === 0 ? undefined : `no ONNX file: export_onnx.py failed: ${lastLine(errors)}`;
}

export const lastLine = (text) => text.trim().split('\n').at(-1);
