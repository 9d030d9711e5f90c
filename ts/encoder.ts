import { stat } from 'node:fs/promises';

import { computes, type Compute } from './compute';
import { device as openDevice, Device, type DeviceOptions } from './device';
import { PadlessError, abortError, fromNative, throwIfAborted } from './errors';
import { adapterOf } from './models/adapters';
import { openWeights } from './io/weight_file';
import { describeModel, type ModelDescription } from './models/description';
import type { ModelDirectory } from './models/directory';
import type { TensorLocation } from './models/families';
import { selectColumns, type HeadDescription } from './models/heads/describe_head';
import type { TaskHead } from './models/heads/task_head';
import type { PipelineSpec } from './models/pipeline';
import { maxLength, type EncoderSpec } from './models/spec';
import {
  addon,
  type NativeEncoder,
  type NativeRunRequest,
  type NativeSafetensors,
  type NativeTensorSource,
  type NativeTicket,
} from './native';
import { abortSignal, callback, checkOptions, integer, oneOf, type Check } from './options';
import type { PackedBatch } from './packed';
import { packedCacheFile } from './packed_cache';
import { resultOf, type EncoderResult, type RunOptions } from './run';
import { onAbort } from './signals';

export type { EncoderOutput, EncoderResult, MatrixOutput, RunOptions } from './run';

/** How far a load has come. */
export interface LoadProgress {
  /** `read`: files are opened and their headers checked; `weights`: tensors are packed for the device. */
  stage: 'read' | 'weights';
  done: number;
  total: number;
}

/** Options of every `load`. */
export interface LoadOptions {
  /** `'cpu'` (the default), `'auto'`, `'cuda:0'`, ..., the options of {@link device}, or what it returned. */
  device?: string | DeviceOptions | Device;
  /**
   * What the products compute in; f32 by default. Statistics and sums are float32 in any case. A CPU takes f32, bf16 and
   * int8; a GPU f32, bf16 and f16, and on compute capability 9.0 (Hopper) fp8: e4m3 products with the rest of the layers
   * as in bf16. Others are E_UNSUPPORTED.
   */
  dtype?: Compute;
  /** CPU threads that one call uses at most; all that the process may use by default. */
  threads?: number;
  /**
   * CPU: a directory that keeps packed (and quantised) weights, made if need be. The next load of the same files,
   * dtype and kind of processor maps them instead of packing. A file that is damaged or of something else is written
   * anew; where none can be written, the load succeeds with a warning (code `PADLESS_CACHE_DIR`). Weights that change
   * in their place replace their file, so it keeps one for each place, config, dtype and kind of processor. Files of
   * models that are gone are yours to delete, at any time.
   */
  cacheDir?: string;
  /** Stops the loading. */
  signal?: AbortSignal;
  onProgress?: (progress: LoadProgress) => void;
}

/** Options of {@link Encoder.load}. */
export interface EncoderLoadOptions extends LoadOptions {
  /**
   * Whether the task head is loaded too, for the output `logits`: by default where the checkpoint has one that
   * is understood. A list keeps only these columns of it, such as two words of a vocabulary.
   */
  logits?: boolean | readonly number[];
}

/** device() checks the rest. */
const deviceChoice: Check<string | DeviceOptions | Device> = (value, fail) =>
  typeof value === 'string' || (typeof value === 'object' && value !== null)
    ? (value as string | DeviceOptions | Device)
    : fail('a device, its name or its options');

function chosenDevice(choice: string | DeviceOptions | Device, threads?: number): Device {
  if (choice instanceof Device) {
    if (threads === undefined || threads === choice.info.threads) return choice;
    throw new PadlessError(
      'E_INVALID_ARGUMENT',
      `load: ${choice.info.name} was opened with threads of its own; leave out "threads", or give it to device().`,
      { field: 'threads' },
    );
  }
  const request = typeof choice === 'string' ? { name: choice } : choice;
  return openDevice(threads === undefined ? request : { ...request, threads });
}

const nonEmpty: Check<string> = (value, fail) =>
  typeof value === 'string' && value !== '' ? value : fail('a path');

/** The checks of {@link LoadOptions}, for tasks that add options of their own. */
export const loadOptions = {
  device: deviceChoice,
  dtype: oneOf(computes),
  threads: integer(1, 1024),
  cacheDir: nonEmpty,
  signal: abortSignal,
  onProgress: callback,
};

const logitsOption: Check<boolean | readonly number[]> = (value, fail) =>
  typeof value === 'boolean' || (Array.isArray(value) && value.every((column) => Number.isInteger(column)))
    ? (value as boolean | readonly number[])
    : fail('true, false, or a list of columns');

/** The head that a load is asked for, with the columns it is asked for. */
function wantedHead(
  { head }: ModelDescription,
  logits: boolean | readonly number[] = true,
): HeadDescription | undefined {
  if (logits === false || !head || head instanceof PadlessError) return undefined;
  return logits === true ? head : { ...head, head: selectColumns(head.head, logits) };
}

/** The native form of a spec: lib/binding/encoder_spec.cc reads it. */
function nativeSpec(
  { spec, pipeline, projections }: ModelDescription,
  logits: TaskHead | undefined,
  compute: Compute,
): Record<string, unknown> {
  const head = (pipeline?.steps ?? []).map((step, index) =>
    step.kind === 'dense' ? { ...step, weights: `head.${index}` } : step,
  );
  return {
    ...spec,
    pooling: pipeline?.pooling ?? [],
    head,
    compute,
    projections: projections.map((projection) => projection.head),
    ...(logits && { logits }),
  };
}

/** Names the files by what would change if their content did, so that only equal loads share weights. */
async function sharingKey(
  files: readonly string[],
  spec: Record<string, unknown>,
  device: Device,
): Promise<string> {
  const identities = await Promise.all(
    files.map(async (file) => {
      const { dev, ino, size, mtimeNs } = await stat(file, { bigint: true });
      return [file, dev, ino, size, mtimeNs].join(':');
    }),
  );
  const { name, isa, threads } = device.info;
  return JSON.stringify([name, isa, threads, spec, identities.sort()]);
}

/** Follows a ticket while `work` is pending: reports progress, and cancels when the signal fires. */
async function followed<T>(
  ticket: NativeTicket,
  work: Promise<T>,
  options: Pick<LoadOptions, 'signal' | 'onProgress'>,
): Promise<T> {
  const { signal, onProgress } = options;
  const unhook = signal && onAbort(signal, () => ticket.cancel());
  let reported = -1;
  const report = () => {
    const [done, total] = ticket.progress();
    if (total > 0 && done > reported) onProgress!({ stage: 'weights', done: (reported = done), total });
  };
  const timer = onProgress && setInterval(report, 50);
  try {
    const value = await work;
    if (onProgress) report();
    return value;
  } catch (error) {
    throw signal?.aborted ? abortError(signal) : fromNative(error);
  } finally {
    clearInterval(timer);
    unhook?.();
    ticket.dispose();
  }
}

/**
 * A loaded encoder: packed batches in, float32 matrices out. The tasks (Embedder, ...) are built on it.
 *
 * Calls run one after another on a stream of the encoder's own; several may be in flight.
 */
export class Encoder {
  #native: NativeEncoder | undefined;

  private constructor(
    native: NativeEncoder,
    readonly device: Device,
    /** What the model computes. */
    readonly spec: EncoderSpec,
    /** The parsed config.json. */
    readonly config: Readonly<Record<string, unknown>>,
    /** The sentence-transformers chain, if the directory has one. */
    readonly pipeline: PipelineSpec | undefined,
    readonly directory: ModelDirectory,
    /** The task head that was loaded, for the output `logits`. */
    readonly head: TaskHead | undefined,
    /** Why the checkpoint's head cannot be run, where it has one that is not understood. */
    readonly headError: PadlessError | undefined,
  ) {
    this.#native = native;
  }

  /**
   * Loads a Hugging Face model directory. Encoders of the same files, device and options share their weights.
   *
   * @throws PadlessError E_NOT_FOUND, E_BAD_CONFIG, E_BAD_WEIGHTS, E_UNSUPPORTED, E_DEVICE, E_OUT_OF_MEMORY,
   * E_ABORTED or E_INVALID_ARGUMENT (options).
   */
  static async load(path: string, options?: EncoderLoadOptions): Promise<Encoder> {
    const checked = checkOptions('Encoder.load', options, {
      ...loadOptions,
      logits: logitsOption,
    });
    throwIfAborted(checked.signal);
    return Encoder.fromDescription(await describeModel(path), checked as EncoderLoadOptions);
  }

  /**
   * Loads what a description names. The options have been checked.
   *
   * @internal
   */
  static async fromDescription(description: ModelDescription, options: EncoderLoadOptions): Promise<Encoder> {
    const { signal, onProgress, dtype = 'f32', threads, device: choice = 'cpu' } = options;
    throwIfAborted(signal);
    const device = chosenDevice(choice, threads);
    const head = wantedHead(description, options.logits);
    const locations = new Map<string, TensorLocation>([
      ...description.tensors,
      ...(head?.tensors ?? []),
      ...description.projections.flatMap(({ tensors }) => [...tensors]),
    ]);
    const paths = [...new Set([...locations.values()].map(({ file }) => file))];
    const files = new Map<string, NativeSafetensors>();
    try {
      for (const file of paths) {
        throwIfAborted(signal);
        files.set(file, await openWeights(file));
        onProgress?.({ stage: 'read', done: files.size, total: paths.length });
      }
      const tensors: Record<string, NativeTensorSource> = {};
      for (const [target, { file, name, part }] of locations) {
        tensors[target] = { file: files.get(file)!, tensor: name, ...(part && { part }) };
      }
      const spec = nativeSpec(description, head?.head, dtype);
      const key = await sharingKey(paths, spec, device);
      const { cacheDir } = options;
      const cache = cacheDir === undefined ? null : await packedCacheFile(cacheDir, paths, spec, device);
      throwIfAborted(signal);
      const ticket = addon.createTicket();
      const native = await followed(
        ticket,
        asPromise(() => addon.loadEncoder(device.native, key, spec, tensors, ticket, cache)),
        options,
      );
      const warning = native.cacheWarning();
      if (warning) process.emitWarning(warning, { type: 'PadlessWarning', code: 'PADLESS_CACHE_DIR' });
      if (signal?.aborted) {
        native.dispose();
        throw abortError(signal);
      }
      const { config, pipeline, directory } = description;
      return new Encoder(
        native,
        device,
        description.spec,
        config,
        pipeline,
        directory,
        head?.head,
        description.head instanceof PadlessError ? description.head : undefined,
      );
    } finally {
      for (const file of files.values()) file.close();
    }
  }

  /** Positions the model has: the most tokens of one sequence. */
  get maxLength(): number {
    return maxLength(this.spec);
  }

  /** Bytes of the packed weights, shared ones counted in full. */
  get weightBytes(): number {
    return this.#live().weightBytes();
  }

  /**
   * Runs a packed batch. The call copies the batch and returns at once; the promise settles when the results
   * are written.
   *
   * @throws PadlessError E_INVALID_ARGUMENT for ids, token types or options out of range, E_TOO_LONG for
   * positions beyond the table, E_UNSUPPORTED for an output this checkpoint lacks, and for positions with holes where
   * a window, a bias or a convolution counts distances, E_ABORTED, E_DISPOSED.
   */
  async run(batch: PackedBatch, options: RunOptions): Promise<EncoderResult> {
    const { outputs, layers = this.spec.layers.length, pooling = [], dimensions = 0 } = options;
    const { skip, normalize = false, logitRows, projectionRows, keyCounts, signal } = options;
    const { sparse = { topK: 0, logs: 1 } } = options;
    const encoder = this.#live();
    const adapter = options.adapter === undefined ? undefined : adapterOf(this.spec, options.adapter);
    const needsHead = outputs.includes('logits') || outputs.includes('sparse');
    if (!this.head && needsHead) throw this.headError ?? noHead();
    throwIfAborted(signal);
    const request: NativeRunRequest = {
      lastHiddenState: outputs.includes('lastHiddenState'),
      poolerOutput: outputs.includes('poolerOutput'),
      sentenceEmbedding: outputs.includes('sentenceEmbedding'),
      layers,
      ...(adapter !== undefined && { adapter }),
      pooling,
      dimensions,
      normalize,
      ...(skip && { skip }),
      logits: outputs.includes('logits'),
      ...(logitRows && { logitRows }),
      ...(keyCounts && { keyCounts }),
      projections: outputs.includes('projections'),
      ...(projectionRows && { projectionRows }),
      ...(outputs.includes('sparse') && { sparse }),
    };
    const ticket = addon.createTicket();
    const buffers = await followed(
      ticket,
      asPromise(() => encoder.run(batch, request, ticket)),
      signal ? { signal } : {},
    );
    return resultOf(buffers);
  }

  /** Frees the weights unless another encoder shares them. Pending runs reject with E_DISPOSED. */
  dispose(): void {
    this.#native?.dispose();
    this.#native = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose();
  }

  #live(): NativeEncoder {
    if (!this.#native) throw new PadlessError('E_DISPOSED', 'The model has been disposed; load it again.');
    return this.#native;
  }
}

function noHead(): PadlessError {
  return new PadlessError(
    'E_UNSUPPORTED',
    'There are no logits: the checkpoint has no task head ("architectures" in config.json), or it was loaded without.',
    { field: 'outputs' },
  );
}

/** A native call that may throw at once or reject later, as one promise. */
async function asPromise<T>(call: () => Promise<T>): Promise<T> {
  return call();
}
