import { join } from 'node:path';

import bindings from 'bindings';

import { PadlessError } from './errors';

/**
 * The addon, typed by hand after lib/binding. Nothing else loads it or
 * knows its types. Native calls throw plain Errors with a code: wrap them in `native()` of errors.ts.
 */
export interface Addon extends DeviceAddon, OpsAddon, SafetensorsAddon, EncoderAddon {}

/** Freed by dispose(), by the garbage collector, or when its thread ends. */
interface NativeHandle {
  dispose(): void;
}

export interface NativeDevice extends NativeHandle {
  info(): { name: string; description: string; isa: string; threads?: number };
  /** The device has failed for good; open it again. */
  isLost(): boolean;
  memory(): { allocated: number; peak: number; tensors: number; tensorBytes: number };
  resetPeak(): void;
  /** How many forwards were recorded as graphs, replayed, or could not be. */
  graphs(): { recorded: number; replayed: number; refused: number };
}

export interface NativeStream extends NativeHandle {
  synchronize(): Promise<void>;
  record(event: NativeEvent): void;
  wait(event: NativeEvent): void;
}

export interface NativeEvent extends NativeHandle {
  isComplete(): boolean;
  millisecondsSince(start: NativeEvent): number;
}

export interface NativeTensor extends NativeHandle {
  /** A copy of the bytes, after all that `stream` has queued and the op that makes the tensor. */
  read(stream: NativeStream): Promise<ArrayBuffer>;
  /** Another handle of the same memory. */
  share(): NativeTensor;
}

export type NativeWeight = NativeHandle;

/** `reason` says why a device cannot be used; it is empty for those that can. Nothing is opened for the list. */
export interface NativeListing {
  name: string;
  kind: string;
  reason: string;
  /** Empty for the CPU. */
  description: string;
  isa: string;
}

export interface NativeAttentionPlan {
  strategy: string;
  bucketEdges: Int32Array;
  streams: number;
}

interface DeviceAddon {
  listDevices(): NativeListing[];
  /**
   * threads 0: all; isa 'auto': the best; batchInvariant: a sequence gets the same bits in every batch;
   * graphs: a GPU records forwards over short batches; overlap: its kernels start before the one ahead has ended;
   * normFusion 'auto', 'always', 'never': it computes products and the norm of their rows in one kernel;
   * attention: the launches that it cuts attention into.
   */
  openDevice(
    name: string,
    threads: number,
    isa: string,
    batchInvariant: boolean,
    graphs: boolean,
    overlap: boolean,
    normFusion: string,
    attention: NativeAttentionPlan,
  ): NativeDevice;
  createStream(device: NativeDevice): NativeStream;
  createEvent(device: NativeDevice): NativeEvent;
  /** source null: zeros. */
  createTensor(
    stream: NativeStream,
    dtype: string,
    elements: number,
    source: ArrayBufferView | null,
  ): NativeTensor;
}

/** What native code reads of a PackedBatch; it copies the arrays and checks their lengths again. */
export interface NativeBatch {
  readonly ids: Int32Array;
  readonly positions: Int32Array;
  readonly tokenTypes?: Int32Array | undefined;
  readonly cuSeqlens: Int32Array;
}

/** Matrices are tensors with their rows and columns; results are new tensors. */
interface OpsAddon {
  packLinear(
    stream: NativeStream,
    weight: NativeTensor,
    outFeatures: number,
    inFeatures: number,
    bias: NativeTensor | null,
    compute: string,
  ): NativeWeight;
  linear(
    stream: NativeStream,
    x: NativeTensor,
    rows: number,
    inFeatures: number,
    weight: NativeWeight,
    outFeatures: number,
    activation: string,
    residual: NativeTensor | null,
  ): NativeTensor;
  norm(
    stream: NativeStream,
    x: NativeTensor,
    rows: number,
    cols: number,
    kind: 'layer' | 'rms',
    gamma: NativeTensor,
    beta: NativeTensor | null,
    eps: number,
    residual: NativeTensor | null,
  ): NativeTensor;
  l2Normalize(stream: NativeStream, x: NativeTensor, rows: number, cols: number): NativeTensor;
  attention(
    stream: NativeStream,
    q: NativeTensor,
    k: NativeTensor,
    v: NativeTensor,
    batch: NativeBatch,
    options: {
      heads: number;
      kvHeads: number;
      headDim: number;
      scale: number;
      causal: boolean;
      /** -1: unlimited */
      windowLeft: number;
      windowRight: number;
      lse: boolean;
    },
  ): { out: NativeTensor; lse: NativeTensor | null };
  pool(
    stream: NativeStream,
    x: NativeTensor,
    cols: number,
    batch: NativeBatch,
    mode: string,
    skip: Int32Array | null,
  ): NativeTensor;
  /** An index of -1 gives a row of zeros. */
  gatherRows(
    stream: NativeStream,
    x: NativeTensor,
    rows: number,
    cols: number,
    indices: Int32Array,
  ): NativeTensor;
}

/** A mapped safetensors file; the mapping ends with its last holder, such as a running load. */
export interface NativeSafetensors extends NativeHandle {
  /** By position in the file; dtype as the format spells it, such as "BF16". */
  tensors(): { name: string; dtype: string; shape: number[] }[];
  metadata(): Record<string, string>;
  /** The same as dispose(). */
  close(): void;
}

interface SafetensorsAddon {
  /** Maps the file and checks its header, off the JS thread. */
  openSafetensors(path: string): Promise<NativeSafetensors>;
}

/** Follows and stops one load or run. */
export interface NativeTicket extends NativeHandle {
  cancel(): void;
  progress(): [done: number, total: number];
}

/** Where a tensor is: an open file, the name inside it, and which of its rows. */
export interface NativeTensorSource {
  file: NativeSafetensors;
  tensor: string;
  part?: { index: number; parts: number; groups: number };
}

export interface NativeRunRequest {
  lastHiddenState: boolean;
  poolerOutput: boolean;
  sentenceEmbedding: boolean;
  /** Empty: the spec's, with its head. */
  pooling: readonly string[];
  /** 0: all */
  dimensions: number;
  /** From 1 to those of the spec, or 0 where it has none. */
  layers: number;
  /** Absent: none. */
  adapter?: number;
  normalize: boolean;
  skip?: Int32Array;
  logits: boolean;
  /** Absent: all. */
  logitRows?: Int32Array;
  keyCounts?: Int32Array;
  projections: boolean;
  projectionRows?: Int32Array;
  /** topK 0: all; logs: how often log(1 + x) is taken. */
  sparse?: { topK: number; logs: number };
}

export interface NativeRunResult {
  lastHiddenState?: ArrayBuffer;
  poolerOutput?: ArrayBuffer;
  sentenceEmbedding?: ArrayBuffer;
  logits?: ArrayBuffer;
  projections?: ArrayBuffer[];
  sparseOffsets?: ArrayBuffer;
  sparseIndices?: ArrayBuffer;
  sparseValues?: ArrayBuffer;
}

export interface NativeEncoder extends NativeHandle {
  run(batch: NativeBatch, request: NativeRunRequest, ticket: NativeTicket): Promise<NativeRunResult>;
  weightBytes(): number;
  /** Why the packed weights of this load could not be kept in their cache; empty if nothing went wrong. */
  cacheWarning(): string;
}

interface EncoderAddon {
  /** Scores of every query for every document, f32 [queries, documents]; vectors are copied. */
  maxSim(
    stream: NativeStream,
    queries: Float32Array,
    cuQueries: Int32Array,
    documents: Float32Array,
    cuDocuments: Int32Array,
    dim: number,
  ): Promise<ArrayBuffer>;
  createTicket(): NativeTicket;
  /** Loads off the JS thread, or shares the encoder that `key` names. */
  loadEncoder(
    device: NativeDevice,
    key: string,
    spec: Record<string, unknown>,
    tensors: Record<string, NativeTensorSource>,
    ticket: NativeTicket,
    cache: { path: string; key: string } | null,
  ): Promise<NativeEncoder>;
}

/** The tests load the addon of the emulator as well, with PADLESS_ADDON=padless_emulator. */
function load(): Addon {
  const root = join(__dirname, '..');
  const name = process.env['PADLESS_ADDON'] ?? 'padless';
  try {
    return bindings({
      bindings: name,
      module_root: root,
      try: [['module_root', 'build', 'Release', 'bindings']],
    });
  } catch (error) {
    const { message } = error as Error;
    throw new PadlessError(
      'E_NOT_FOUND',
      `The native addon build/Release/${name}.node cannot be loaded from ${root}; build it with "npm run build". ${message}`,
      { field: `build/Release/${name}.node`, cause: error },
    );
  }
}

export const addon: Addon = load();
