import { packed, tokenBatches } from '../batching/batches';
import { pipelined } from '../batching/pipeline';
import { Encoder, type MatrixOutput } from '../encoder';
import { writeSafetensors, type SafetensorsTensor } from '../io/safetensors';
import { withSignals } from '../signals';
import { defaultBatchTokens } from '../batching/budget';
import { computeOptions, type ComputeFlags } from './compute_flags';
import { asChunks, readIds, type IdsFile } from './ids_file';

interface RunFlags extends ComputeFlags {
  model: string;
  input: string;
  output: string;
  batchTokens?: number;
}

/** The tensor of OUT.safetensors for each output of the encoder. */
const TENSOR_NAMES: Record<MatrixOutput, string> = {
  lastHiddenState: 'last_hidden_state',
  poolerOutput: 'pooler_output',
  sentenceEmbedding: 'sentence_embedding',
  logits: 'logits',
};

/**
 * `padless run`: the contract that other implementations are compared through. Ids in, in a JSON file;
 * `cu_seqlens` (I32 [B + 1]), `last_hidden_state` (F32 [T, H]) and what the checkpoint has of `pooler_output`,
 * `sentence_embedding` and `logits` (as {@link TaskHead} says) out, in a safetensors file, sequences in the
 * order of the input.
 */
export async function run(flags: RunFlags, signal: AbortSignal): Promise<void> {
  await using encoder = await Encoder.load(flags.model, { ...computeOptions(flags), signal });
  const { spec } = encoder;
  const ids = await readIds(flags.input, {
    vocabSize: spec.vocabSize,
    tokenTypes: spec.tokenTypes,
    maxLength: encoder.maxLength,
  });
  const outputs = outputsOf(encoder);
  if (encoder.headError) process.stderr.write(`padless: no logits: ${encoder.headError.message}\n`);
  const collected = await compute(
    encoder,
    ids,
    outputs,
    flags.batchTokens ?? defaultBatchTokens(encoder.device),
    signal,
  );
  await writeSafetensors(flags.output, tensors(ids, outputs, collected, encoder));
}

function outputsOf({ spec, pipeline, head }: Encoder): MatrixOutput[] {
  return [
    'lastHiddenState',
    ...(spec.pooler ? (['poolerOutput'] as const) : []),
    ...(pipeline ? (['sentenceEmbedding'] as const) : []),
    ...(head ? (['logits'] as const) : []),
  ];
}

type Collected = Record<MatrixOutput, Float32Array[]>;

async function compute(
  encoder: Encoder,
  ids: IdsFile,
  outputs: MatrixOutput[],
  batchTokens: number,
  signal: AbortSignal,
): Promise<Collected> {
  const collected: Collected = { lastHiddenState: [], poolerOutput: [], sentenceEmbedding: [], logits: [] };
  const dimensions = encoder.pipeline?.truncateDim;
  await withSignals([signal], (linked, abort) =>
    pipelined(tokenBatches(asChunks(ids), batchTokens), {
      depth: 2,
      start: (batch) =>
        encoder.run(packed(batch), {
          outputs,
          ...(dimensions !== undefined && { dimensions }),
          signal: linked,
        }),
      finish: async (result) => {
        for (const output of outputs) collected[output].push(result[output]!);
      },
      cancel: abort,
    }),
  );
  return collected;
}

function tensors(
  { sequences }: IdsFile,
  outputs: MatrixOutput[],
  collected: Collected,
  { spec, head }: Encoder,
): Record<string, SafetensorsTensor> {
  const cuSeqlens = new Int32Array(sequences.length + 1);
  sequences.forEach((sequence, i) => (cuSeqlens[i + 1] = cuSeqlens[i]! + sequence.length));
  const file: Record<string, SafetensorsTensor> = {
    cu_seqlens: { dtype: 'I32', shape: [cuSeqlens.length], data: cuSeqlens },
  };
  for (const output of outputs) {
    const data = collected[output];
    const numbers = data.reduce((sum, { length }) => sum + length, 0);
    const perToken = output === 'lastHiddenState' || (output === 'logits' && head!.perToken);
    const rows = perToken ? cuSeqlens.at(-1)! : sequences.length;
    const width = output === 'logits' ? head!.width : spec.hiddenSize;
    const columns = rows === 0 ? width : numbers / rows;
    file[TENSOR_NAMES[output]] = { dtype: 'F32', shape: [rows, columns], data };
  }
  return file;
}
