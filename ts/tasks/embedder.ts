import type { TokenBatch } from '../batching/batches';
import type { PassRequest } from '../batching/joined_requests';
import type { PassOptions } from '../batching/shared_passes';
import { loadOptions, type LoadOptions } from '../encoder';
import { PadlessError, throwIfAborted } from '../errors';
import { adapterOf } from '../models/adapters';
import { describeModel } from '../models/description';
import type { PoolingMode, Similarity } from '../models/pipeline';
import { abortSignal, boolean, checkOptions, integer, string } from '../options';
import type { EncodeOptions } from '../tokenizer/tokenizer';
import {
  beyondTheLimit,
  chunkRows,
  chunksOption,
  collectRows,
  type ChunkOptions,
  type ChunkRows,
  type Chunking,
} from './chunk_pooling';
import type { Embeddings } from './embeddings';
import { POOLING_MODES, checkTexts, poolingOption, promptFor } from './inputs';
import { similarityMatrix, type SimilarityMatrix } from './similarity';
import { Task, loadModel, queueOptions, type Call, type Model, type QueueOptions } from './task';

/** Options of {@link Embedder.load}. */
export interface EmbedderLoadOptions extends LoadOptions, QueueOptions {
  /**
   * How token vectors become one, for a directory without modules.json; where there is one, instead of its own.
   * Several are concatenated.
   */
  pooling?: PoolingMode | readonly PoolingMode[];
  /** Default of `truncate` in {@link EmbedOptions}. */
  truncate?: boolean;
}

/** Options of {@link Embedder.embed}. */
export interface EmbedOptions {
  /** Name of a prompt of config_sentence_transformers.json, put before each text; its default otherwise. */
  promptName?: string;
  /** A prompt as text, instead of a name. `''` for none. */
  prompt?: string;
  /**
   * A task whose adapter the checkpoint has (`lora_adaptations` of jina-embeddings-v3): its weights are added for
   * this call, and its instruction is put before each text unless a prompt is given. Without a task nothing is added.
   */
  task?: string;
  /** L2-normalise, after the cut to `dimensions`; a checkpoint with a Normalize module does it in any case. */
  normalize?: boolean;
  /** Keep the first so many numbers of each vector; `truncate_dim` of the checkpoint otherwise. */
  dimensions?: number;
  /** Run the first layers only, which a model trained for it (2D Matryoshka, arXiv:2402.14776) allows. */
  layers?: number;
  /** Most tokens of one forward pass. A longer text is a pass of its own. */
  batchTokens?: number;
  /** Cut texts to the model's limit (the default); otherwise a longer one is E_TOO_LONG. */
  truncate?: boolean;
  /**
   * Neither: embed a text beyond the limit in chunks of at most the limit, each with the prompt and special tokens
   * of its own, and pool their vectors. `true` for the defaults of {@link ChunkOptions}.
   */
  chunks?: boolean | ChunkOptions;
  /** Rejects the call with E_ABORTED and stops the work. */
  signal?: AbortSignal;
}

const embedOptions = {
  promptName: string,
  prompt: string,
  task: string,
  normalize: boolean,
  dimensions: integer(1),
  layers: integer(1),
  batchTokens: integer(1),
  truncate: boolean,
  chunks: chunksOption('mean'),
  signal: abortSignal,
};

type CheckedEmbedOptions = Omit<EmbedOptions, 'chunks'> & { chunks?: Chunking | false };

/**
 * Turns texts into vectors, as sentence-transformers does with the same directory: its prompts, tokenizer,
 * encoder, pooling, dense and normalising modules.
 *
 * @example
 * ```ts
 * await using embedder = await Embedder.load('./all-MiniLM-L6-v2');
 * const vectors = await embedder.embed(['short', 'a much longer passage']);
 * vectors.row(0);   // Float32Array(384)
 * ```
 */
export class Embedder extends Task {
  readonly #pooling: readonly PoolingMode[] | undefined;
  readonly #truncate: boolean;

  private constructor(
    model: Model,
    options: { pooling: readonly PoolingMode[] | undefined; truncate: boolean },
  ) {
    super(model);
    this.#pooling = options.pooling;
    this.#truncate = options.truncate;
  }

  /**
   * Loads a Hugging Face directory: config.json, safetensors, tokenizer.json, and modules.json where there is one.
   *
   * @throws PadlessError E_NOT_FOUND, E_BAD_CONFIG, E_BAD_WEIGHTS, E_BAD_TOKENIZER, E_UNSUPPORTED, E_DEVICE,
   * E_ABORTED or E_INVALID_ARGUMENT. A directory without modules.json needs the option `pooling`.
   */
  static async load(path: string, options: EmbedderLoadOptions = {}): Promise<Embedder> {
    const { pooling, truncate, joinCalls, maxWaitingTokens, ...load } = checkOptions(
      'Embedder.load',
      options,
      {
        ...loadOptions,
        pooling: poolingOption,
        truncate: boolean,
        ...queueOptions,
      },
    );
    throwIfAborted(load.signal);
    const description = await describeModel(path);
    if (!description.pipeline && !pooling) {
      throw new PadlessError(
        'E_BAD_CONFIG',
        `${path} has no modules.json, so nothing says how token vectors become one. Pass the option pooling: ` +
          `${POOLING_MODES.map((mode) => `"${mode}"`).join(', ')}. The model's card says which it was trained with.`,
        { field: 'pooling' },
      );
    }
    const model = await loadModel(description, { ...(load as LoadOptions), logits: false });
    return new Embedder({ ...model, joinCalls, maxWaitingTokens }, { pooling, truncate: truncate ?? true });
  }

  /** What {@link Embedder.similarity} computes: `similarity_fn_name` of the checkpoint, cosine by default. */
  get similarityFunction(): Similarity {
    return this.encoder.pipeline?.similarity ?? 'cosine';
  }

  /** The checkpoint's prompts by name. */
  get prompts(): Readonly<Record<string, string>> {
    return this.encoder.pipeline?.prompts ?? {};
  }

  /** The tasks that the checkpoint has adapters for. */
  get tasks(): readonly string[] {
    return this.encoder.spec.adapters?.names ?? [];
  }

  /**
   * One vector for each text, in the order of the texts; a single string gives one row.
   *
   * The event loop stays free: tokenizing and the forward passes run on threads of their own.
   *
   * @throws PadlessError E_INVALID_ARGUMENT for what is no string or option, E_TOO_LONG with `truncate: false` or
   * where a prompt leaves no room for chunks, E_ABORTED, E_DISPOSED.
   */
  async embed(input: string | readonly string[], options: EmbedOptions = {}): Promise<Embeddings> {
    const checked = checkOptions('embed', options, embedOptions);
    const long = beyondTheLimit(checked, this.#truncate);
    const texts = checkTexts(input);
    const { spec, pipeline } = this.encoder;
    if (checked.task !== undefined) adapterOf(spec, checked.task, 'task');
    const instruction = checked.task === undefined ? undefined : spec.adapters?.instructions[checked.task];
    const prefix = promptFor(checked, pipeline, instruction);
    return this.whileOpen(checked.signal, (call) => this.#embed(texts, { prefix, ...long }, checked, call));
  }

  /**
   * Scores of every row of `a` against every row of `b`, by {@link Embedder.similarityFunction}; higher is more
   * alike (distances are negative).
   *
   * @returns `data` [rows * columns], row-major.
   */
  async similarity(a: Embeddings, b: Embeddings): Promise<SimilarityMatrix> {
    return similarityMatrix(a, b, this.similarityFunction);
  }

  async #embed(
    texts: readonly string[],
    encode: EncodeOptions & { prefix: string },
    options: CheckedEmbedOptions,
    call: Call,
  ): Promise<Embeddings> {
    const skip = this.#promptTokens(encode.prefix, call.signal);
    const collected = collectRows(texts.length, options.chunks, this.#normalizes(options));
    await this.forward(
      texts,
      encode,
      {
        batchTokens: options.batchTokens,
        start: async (batch, pass) => this.#encode(batch, await skip, options, pass),
        finish: (rows) => collected.append(rows),
      },
      call,
    );
    return collected.embeddings();
  }

  async #encode(
    batch: TokenBatch,
    skip: number,
    options: CheckedEmbedOptions,
    pass: PassOptions,
  ): Promise<ChunkRows> {
    const rows = batch.cuSeqlens.length - 1;
    const dimensions = options.dimensions ?? this.encoder.pipeline?.truncateDim;
    const request: PassRequest = {
      rows: { sentenceEmbedding: rows },
      options: {
        ...(this.#pooling && { pooling: this.#pooling }),
        ...(dimensions !== undefined && { dimensions }),
        ...(options.layers !== undefined && { layers: options.layers }),
        ...(options.task !== undefined && { adapter: options.task }),
        normalize: options.normalize ?? false,
      },
      skip: skip > 0 ? new Int32Array(rows).fill(skip) : undefined,
    };
    const { sentenceEmbedding } = await this.passes.run(batch, request, pass);
    return chunkRows(batch, sentenceEmbedding!);
  }

  /** Whether vectors have length 1: by the option, or the checkpoint's last module unless a cut follows it. */
  #normalizes({ normalize, dimensions }: CheckedEmbedOptions): boolean {
    if (normalize) return true;
    const pipeline = this.#pooling ? undefined : this.encoder.pipeline;
    return pipeline?.steps.at(-1)?.kind === 'normalize' && (dimensions ?? pipeline.truncateDim) === undefined;
  }

  /** Tokens that the pooling leaves out: those of the prompt, where the checkpoint says so. */
  #promptTokens(prompt: string, signal: AbortSignal): number | Promise<number> {
    if (prompt === '' || (this.encoder.pipeline?.includePrompt ?? true)) return 0;
    const tokens = this.tokenizer.prefixLength(prompt, signal);
    // Awaited where a batch starts; a failure in the meantime is not an unhandled one.
    tokens.catch(() => {});
    return tokens;
  }
}
