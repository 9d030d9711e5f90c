import { type AttentionPlanOptions, attentionPlan } from './attention_plan';
import { PadlessError, native } from './errors';
import { addon, type NativeDevice } from './native';
import { type Check, boolean, checkOptions, integer, nearest, oneOf, string } from './options';
import { type Event, type Stream, createEvent, createStream } from './stream';

export type DeviceKind = 'cpu' | 'cuda' | 'emulator';

/** What {@link devices} knows of a device. */
export interface DeviceInfo {
  /** `'cpu'`, `'cuda:0'`, ... */
  readonly name: string;
  readonly kind: DeviceKind;
  readonly available: boolean;
  /** Why the device cannot be used. */
  readonly reason?: string;
  /** The chip's own name. */
  readonly description?: string;
  /** What the kernels use: `'avx512+vnni'`, `'sm_90a'`, ... */
  readonly isa?: string;
  /** CPU: the most threads that one op uses. */
  readonly threads?: number;
}

/** How {@link device} opens one. */
export interface DeviceOptions {
  /** `'cpu'` by default. */
  name?: string;
  /** CPU: the most threads that one op uses; all that this process may use by default. */
  threads?: number;
  /** CPU: a lower instruction set than the chip's, to compare; `'avx512'` is without AMX's tiles, `'amx'` with them. */
  isa?: 'auto' | 'amx' | 'avx512' | 'avx2' | 'neon' | 'portable';
  /**
   * What two results have in common bit for bit. `'run'` (the default): the same batch on a device opened alike gives
   * the same bits. `'batch'`: a sequence also gets the same bits alone and in any batch. On a GPU that costs speed for
   * short batches; on a CPU with AMX, for fp32 batches of 192 tokens or more, which `'run'` multiplies on tiles with
   * other roundings. All else on a CPU always is as with `'batch'`.
   * With `'run'`, which batch a text of a task is in depends on what other calls wait, unless it is loaded with
   * `joinCalls: false`.
   */
  determinism?: 'run' | 'batch';
  /**
   * GPU: replay the forward passes over short batches (up to 2048 tokens) as CUDA graphs, which saves the time that
   * launching their kernels one by one takes; true by default. Results are the same bit for bit. A model keeps at most
   * about 256 MiB of GPU memory for it. A CPU has no graphs.
   */
  graphs?: boolean;
  /**
   * GPU: let each kernel begin, and the matrix products fetch their weights, while the kernel before it still runs
   * (programmatic dependent launch). From compute capability 9.0 on; without effect on other devices. Results are the
   * same bit for bit. False by default: what it gains is not measured.
   */
  overlap?: boolean;
  /**
   * GPU: compute a matrix product and the norm of its rows in one kernel, on compute capability 9.0, for up to 1024
   * columns: `'always'`, `'never'`, or `'auto'` (the default), where that is expected to be faster and `determinism`
   * is `'run'`. Results are as exact, but not the same bit for bit. What it gains is not measured.
   */
  normFusion?: 'auto' | 'always' | 'never';
  /**
   * GPU: how attention in bf16 and f16 is cut into launches, to compare; which way is fastest where is not measured.
   * Results are as exact whatever the plan, but have the same bits only where a sequence's length takes it to the same
   * kernel. That kernel never depends on the rest of the batch, so every plan keeps `determinism: 'batch'`.
   */
  attention?: AttentionPlanOptions;
}

/** Memory of a device. */
export interface MemoryInfo {
  /** Bytes of all tensors, weights and work space that the process holds on the device. */
  readonly allocated: number;
  /** The most of these at one time, since the device was opened or {@link Device.resetPeakMemory}. */
  readonly peak: number;
  /** Tensors of this thread that are alive, or still needed by queued work; views of one memory count once. */
  readonly tensors: number;
  /** Bytes of those tensors. */
  readonly tensorBytes: number;
}

/** What became of forward passes that a GPU could replay as graphs, since the device was opened. */
export interface GraphInfo {
  readonly recorded: number;
  readonly replayed: number;
  /** Could not be recorded or replayed, such as for lack of memory, and ran kernel by kernel instead. */
  readonly refused: number;
}

/** A device: where tensors live and ops run. {@link device} gives one handle for each name and configuration. */
export class Device {
  readonly info: DeviceInfo;
  /** @internal */
  readonly native: NativeDevice;
  #defaultStream: Stream | undefined;

  /** @internal Use {@link device}. */
  constructor(kind: DeviceKind, handle: NativeDevice) {
    this.native = handle;
    this.info = Object.freeze({ kind, available: true, ...handle.info() });
  }

  get name(): string {
    return this.info.name;
  }

  /** The stream of ops that name none. */
  get defaultStream(): Stream {
    if (!this.#defaultStream || this.#defaultStream.disposed) this.#defaultStream = createStream(this);
    return this.#defaultStream;
  }

  createStream(): Stream {
    return createStream(this);
  }

  createEvent(): Event {
    return createEvent(this);
  }

  memoryInfo(): MemoryInfo {
    return native(() => this.native.memory());
  }

  /** Lets {@link MemoryInfo.peak} begin anew, with what is in use now. */
  resetPeakMemory(): void {
    native(() => this.native.resetPeak());
  }

  /** All models of the device together; zeros on the CPU, and with `graphs: false`. */
  graphInfo(): GraphInfo {
    return native(() => this.native.graphs());
  }
}

const kinds: readonly DeviceKind[] = ['cpu', 'cuda', 'emulator'];
const opened = new Map<string, Device>();

/**
 * What this process could compute on; devices that cannot be used are listed with the reason. No GPU is opened, which
 * would take memory of each: that one can be opened and has room is for {@link device} to find out.
 */
export function devices(): DeviceInfo[] {
  return addon.listDevices().map(({ name, kind, reason, description, isa }) => {
    if (kind === 'cpu') return device(name).info;
    const gpu = { name, kind: kind as DeviceKind };
    return reason === ''
      ? { ...gpu, available: true, description, isa }
      : { ...gpu, available: false, reason };
  });
}

/** The first GPU that can be opened, else the CPU. */
function openAuto(options: DeviceOptions): Device {
  for (const { name, kind, reason } of addon.listDevices()) {
    if (kind !== 'cuda' || reason !== '') continue;
    try {
      return device({ ...options, name });
    } catch (error) {
      const isBusy =
        error instanceof PadlessError && (error.code === 'E_DEVICE' || error.code === 'E_OUT_OF_MEMORY');
      if (!isBusy) throw error;
    }
  }
  return device({ ...options, name: 'cpu' });
}

/** The name that native code knows: `cuda` is `cuda:0`, `cpu:0` is `cpu`. */
function canonical(name: string): { name: string; kind: DeviceKind } {
  const [, word = name, index = '0'] = /^([a-z]+)(?::(\d{1,4}))?$/.exec(name) ?? [];
  const kind = kinds.find((known) => known === word);
  if (!kind) {
    const guess = nearest(word, kinds);
    throw new PadlessError(
      'E_INVALID_ARGUMENT',
      `There is no device "${name}"${guess ? `; did you mean "${guess}"?` : '. '}` +
        ' Devices are "cpu", "cuda:0", "cuda:1", ... and "auto".',
      { field: 'device' },
    );
  }
  if (kind !== 'cpu') return { name: `${kind}:${Number(index)}`, kind };
  if (Number(index) === 0) return { name: 'cpu', kind };
  throw new PadlessError('E_DEVICE', `There is no device "${name}": all processors together are "cpu".`, {
    field: 'device',
  });
}

const deviceOptions = {
  name: string,
  threads: integer(1, 1024),
  isa: oneOf(['auto', 'amx', 'avx512', 'avx2', 'neon', 'portable']),
  determinism: oneOf(['run', 'batch']),
  graphs: boolean,
  overlap: boolean,
  normFusion: oneOf(['auto', 'always', 'never']),
  attention: attentionPlan,
};

/**
 * The device of that name, one handle for each name and configuration. Opening is cheap; the engine behind it is
 * shared by all threads of the process.
 *
 * @param which `'cpu'`, `'cuda'`, `'cuda:1'`, `'auto'` (the first GPU that can be opened, else the CPU; opening a GPU
 * by name tells why it cannot), or options.
 * @throws PadlessError E_DEVICE with the reason if the device cannot be used, E_UNSUPPORTED for an instruction
 * set that the chip lacks, E_INVALID_ARGUMENT for other names and options.
 *
 * @example
 * const cpu = device('cpu');
 * const half = device({ name: 'cpu', threads: 1 });
 */
export function device(which: string | DeviceOptions = 'cpu'): Device {
  const options = typeof which === 'string' ? { name: which } : which;
  const {
    name = 'cpu',
    threads,
    isa,
    determinism = 'run',
    graphs = true,
    overlap = false,
    normFusion = 'auto',
    attention,
  } = checkOptions('device', options, deviceOptions);
  if (name === 'auto') return openAuto(options);
  const { name: known, kind } = canonical(name);
  if (kind !== 'cpu' && (threads !== undefined || isa !== undefined)) {
    const field = threads !== undefined ? 'threads' : 'isa';
    throw new PadlessError(
      'E_INVALID_ARGUMENT',
      `device: option "${field}" is for the CPU, not for ${known}.`,
      { field },
    );
  }
  if (kind === 'cpu' && attention !== undefined) {
    throw new PadlessError(
      'E_INVALID_ARGUMENT',
      `device: option "attention" is for GPUs, not for ${known}; leave it out.`,
      { field: 'attention' },
    );
  }
  const batchInvariant = determinism === 'batch';
  const replays = kind !== 'cpu' && graphs;
  const overlaps = kind !== 'cpu' && overlap;
  const fusion = kind === 'cpu' ? 'auto' : normFusion;
  const plan = attention ?? attentionPlan({});
  const key = [
    ...[known, threads ?? 0, isa ?? 'auto', batchInvariant, replays, overlaps, fusion],
    ...[plan.strategy, plan.bucketEdges, plan.streams],
  ].join(' ');
  let found = opened.get(key);
  if (!found || found.native.isLost()) {
    found = new Device(
      kind,
      native(() =>
        addon.openDevice(known, threads ?? 0, isa ?? 'auto', batchInvariant, replays, overlaps, fusion, plan),
      ),
    );
    opened.set(key, found);
  }
  return found;
}

/** An option that is a device or its name. */
export const deviceOption: Check<Device> = (value, fail) => {
  if (value instanceof Device) return value;
  return typeof value === 'string' ? device(value) : fail('a Device or the name of one');
};
