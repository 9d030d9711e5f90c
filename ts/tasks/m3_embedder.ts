import type { TokenBatch } from '../batching/batches';
import type { PassOptions } from '../batching/shared_passes';
import { sliced } from '../batching/slices';
import { loadOptions, type LoadOptions } from '../encoder';
import { throwIfAborted } from '../errors';
import { M3_PROJECTIONS, describeM3 } from '../models/bge_m3';
import { abortSignal, boolean, checkOptions, integer } from '../options';
import type { SparseRows } from '../run';
import {
  beyondTheLimit,
  chunkRows,
  chunksOption,
  collectRows,
  type ChunkOptions,
  type ChunkRows,
} from './chunk_pooling';
import type { Embeddings } from './embeddings';
import { checkTexts } from './inputs';
import { VectorCollector, keepTokens, type MultiVectors, type VectorBlock } from './multi_vectors';
import { collectSparse } from './sparse_chunks';
import type { SparseVectors } from './sparse_vectors';
import { Task, loadModel, queueOptions, type QueueOptions } from './task';
import { termWeights } from './term_weights';

/** Options of {@link M3Embedder.load}. */
export interface M3LoadOptions extends LoadOptions, QueueOptions {}

/** Options of {@link M3Embedder.embed}. */
export interface M3EmbedOptions {
  /** Keep the largest weights of each text, so many; all otherwise. */
  topK?: number;
  /** Most tokens of one forward pass. A longer text is a pass of its own. */
  batchTokens?: number;
  /** Cut texts to the model's limit (the default); otherwise a longer one is E_TOO_LONG. */
  truncate?: boolean;
  /**
   * Neither: read a text beyond the limit in chunks, each with special tokens of its own. Their dense vectors are
   * pooled as {@link ChunkOptions} says and get length 1 again; of each term the largest weight counts; the vectors of
   * all tokens stay, of a token in two chunks that of the earlier.
   */
  chunks?: boolean | ChunkOptions;
  /** Rejects the call with E_ABORTED and stops the work. */
  signal?: AbortSignal;
}

const embedOptions = {
  topK: integer(1),
  batchTokens: integer(1),
  truncate: boolean,
  chunks: chunksOption('mean'),
  signal: abortSignal,
};

/** The three results of BGE-M3, a row of each for every text. */
export interface M3Embeddings {
  /** The first token's vector, of length 1. */
  dense: Embeddings;
  /** The weight of each token of the text; special and unknown tokens have none. */
  sparse: SparseVectors;
  /** A vector of length 1 for every token but the first of each sequence. */
  vectors: MultiVectors;
}

interface M3Block {
  texts: Int32Array | undefined;
  dense: ChunkRows;
  sparse: SparseRows;
  vectors: VectorBlock;
}

/** The steps of copying `rows` of `all` to `target`, one after the other. */
function* gatherRows(
  target: Float32Array,
  all: Float32Array,
  rows: Int32Array,
  width: number,
): Generator<void> {
  for (const [i, row] of rows.entries()) {
    target.set(all.subarray(row * width, (row + 1) * width), i * width);
    yield;
  }
}

/**
 * BGE-M3 (arXiv:2402.03216): a dense vector, weights of terms and a vector for every token, from one forward pass.
 * Its two linear layers are pickles as published; scripts/convert-checkpoint.py makes safetensors of them.
 *
 * @example
 * ```ts
 * await using m3 = await M3Embedder.load('./bge-m3');
 * const { dense, sparse, vectors } = await m3.embed(['short', 'a much longer passage']);
 * ```
 */
export class M3Embedder extends Task {
  /**
   * @throws PadlessError E_NOT_FOUND, E_BAD_CONFIG, E_BAD_WEIGHTS (also for pickles), E_BAD_TOKENIZER, E_UNSUPPORTED,
   * E_DEVICE, E_ABORTED or E_INVALID_ARGUMENT.
   */
  static async load(path: string, options: M3LoadOptions = {}): Promise<M3Embedder> {
    const { joinCalls, maxWaitingTokens, ...load } = checkOptions('M3Embedder.load', options, {
      ...loadOptions,
      ...queueOptions,
    });
    throwIfAborted(load.signal);
    const model = await loadModel(await describeM3(path), { ...(load as LoadOptions), logits: false });
    return new M3Embedder({ ...model, joinCalls, maxWaitingTokens });
  }

  /**
   * The three results of each text, in the order of the texts. The event loop stays free.
   *
   * @throws PadlessError E_INVALID_ARGUMENT for what is no string or option, E_TOO_LONG with `truncate: false`,
   * E_ABORTED, E_DISPOSED.
   */
  async embed(input: string | readonly string[], options: M3EmbedOptions = {}): Promise<M3Embeddings> {
    const { topK = 0, ...checked } = checkOptions('embed', options, embedOptions);
    const long = beyondTheLimit(checked, true);
    const { chunks } = checked;
    const stride = chunks ? chunks.stride : 0;
    const texts = checkTexts(input);
    return this.whileOpen(checked.signal, async (call) => {
      const dense = collectRows(texts.length, chunks, true);
      const sparse = collectSparse(chunks, topK);
      const vectors = new VectorCollector(this.encoder.spec.hiddenSize);
      await this.forward(
        texts,
        { ...long, details: true },
        {
          batchTokens: checked.batchTokens,
          // The largest weights of a text are known when all of its chunks are.
          start: (batch, pass) => this.#run(batch, chunks ? 0 : topK, stride, pass),
          finish: async (block) => {
            await dense.append(block.dense);
            sparse.append(block.sparse, block.texts);
            vectors.append(block.vectors);
          },
        },
        call,
      );
      return {
        dense: dense.embeddings(),
        sparse: sparse.vectors(this.encoder.spec.vocabSize),
        vectors: await vectors.vectors(),
      };
    });
  }

  async #run(batch: TokenBatch, topK: number, stride: number, pass: PassOptions): Promise<M3Block> {
    const request = {
      rows: { sentenceEmbedding: batch.cuSeqlens.length - 1, projections: batch.ids.length },
    };
    const { sentenceEmbedding, projections } = await this.passes.run(batch, request, pass);
    const { rows, counts } = keepTokens(batch, stride, (t, first) => t !== first);
    const width = this.encoder.spec.hiddenSize;
    const all = projections![M3_PROJECTIONS.vectors]!;
    const data = new Float32Array(rows.length * width);
    await sliced(gatherRows(data, all, rows, width));
    const unused = [this.tokenizer.unknownId, this.encoder.config['pad_token_id']];
    const ignored = new Set(
      batch.ids.filter((id, t) => batch.details!.segments[t]! < 0 || unused.includes(id)),
    );
    const { texts } = batch;
    return {
      texts,
      dense: chunkRows(batch, sentenceEmbedding!),
      sparse: termWeights(batch, projections![M3_PROJECTIONS.weights]!, ignored, topK),
      vectors: { data, counts, texts },
    };
  }
}
