import { type Device, device as openDevice, deviceOption } from './device';
import { PadlessError, native, nativeAsync } from './errors';
import { Owner } from './handle';
import { addon, type NativeTensor } from './native';
import { checkOptions, oneOf } from './options';
import { type Stream, streamOption } from './stream';

/** What a tensor of each dtype is read as; 16-bit floats are held as their bits. */
export interface TensorArrays {
  f32: Float32Array;
  f16: Uint16Array;
  bf16: Uint16Array;
  i32: Int32Array;
  i64: BigInt64Array;
  u8: Uint8Array;
}

export type DType = keyof TensorArrays;

/** Where a tensor is made. */
export interface TensorOptions<D extends DType = DType> {
  /** By default that of the array; for plain numbers and {@link Tensor.zeros} `'f32'`. */
  dtype?: D | undefined;
  /** That of the stream, or the CPU, by default. */
  device?: Device | string | undefined;
  /** The device's default stream by default. */
  stream?: Stream | undefined;
}

const arrays = {
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i32: Int32Array,
  i64: BigInt64Array,
  u8: Uint8Array,
} as const;
const dtypes = Object.keys(arrays) as DType[];

const tensorOptions = { dtype: oneOf(dtypes), device: deviceOption, stream: streamOption };

function invalid(where: string, message: string, field: string): PadlessError {
  return new PadlessError('E_INVALID_ARGUMENT', `${where}: ${message}`, { field });
}

/** Elements of a shape; E_INVALID_ARGUMENT unless it is an array of non-negative integers. */
function elementsOf(where: string, shape: readonly number[]): number {
  if (!Array.isArray(shape) || !shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
    throw invalid(
      where,
      `shape must be an array of non-negative integers, not ${JSON.stringify(shape)}.`,
      'shape',
    );
  }
  const count = shape.reduce((product, dim) => product * dim, 1);
  if (!Number.isSafeInteger(count)) throw invalid(where, `shape [${shape}] has too many elements.`, 'shape');
  return count;
}

/** The name of a typed array's class, whatever realm it is from; undefined for anything else. */
function arrayName(data: unknown): string | undefined {
  return ArrayBuffer.isView(data)
    ? Object.prototype.toString.call(data).slice('[object '.length, -1)
    : undefined;
}

const inferred: Partial<Record<string, DType>> = {
  Float32Array: 'f32',
  Int32Array: 'i32',
  BigInt64Array: 'i64',
  Uint8Array: 'u8',
};

/** What plain numbers a dtype holds exactly; undefined for dtypes that need a typed array. */
const plain: Partial<Record<DType, { accepts: (value: unknown) => boolean; what: string }>> = {
  f32: { accepts: (value) => typeof value === 'number', what: 'numbers' },
  i32: {
    accepts: (value) => Number.isInteger(value) && (value as number) === ((value as number) | 0),
    what: '32-bit integers',
  },
  i64: {
    accepts: (value) => typeof value === 'bigint' && value === BigInt.asIntN(64, value),
    what: '64-bit bigints',
  },
  u8: {
    accepts: (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 255,
    what: 'integers from 0 to 255',
  },
};

/** The data as a typed array of its dtype. */
function toArray(
  data: unknown,
  wanted: DType | undefined,
): { dtype: DType; array: ArrayBufferView & { length: number } } {
  const where = 'Tensor.from';
  const name = arrayName(data);
  if (name !== undefined) {
    const dtype = wanted ?? inferred[name];
    if (!dtype) {
      const fix =
        name === 'Uint16Array'
          ? 'say dtype "f16" or "bf16"'
          : 'convert it to a Float32Array, Int32Array, BigInt64Array or Uint8Array';
      throw invalid(where, `a ${name} tells no dtype; ${fix}.`, name === 'Uint16Array' ? 'dtype' : 'data');
    }
    if (name !== arrays[dtype].name)
      throw invalid(where, `dtype ${dtype} is held in a ${arrays[dtype].name}, not a ${name}.`, 'data');
    return { dtype, array: data as Uint8Array };
  }
  if (!Array.isArray(data))
    throw invalid(where, 'data must be a typed array or an array of numbers.', 'data');
  const dtype = wanted ?? 'f32';
  const rule = plain[dtype];
  if (!rule) throw invalid(where, `dtype ${dtype} takes a Uint16Array with the bits of its values.`, 'data');
  const bad = data.findIndex((value) => !rule.accepts(value));
  if (bad >= 0)
    throw invalid(where, `data[${bad}] is ${String(data[bad])}; dtype ${dtype} holds ${rule.what}.`, 'data');
  return {
    dtype,
    array:
      dtype === 'i64' ? BigInt64Array.from(data as bigint[]) : arrays[dtype as 'f32'].from(data as number[]),
  };
}

/** The stream that options name. */
function placement(where: string, options: { device?: Device; stream?: Stream }): Stream {
  const { device, stream } = options;
  if (stream && device && stream.device !== device) {
    throw invalid(where, `the stream belongs to ${stream.device.name}, not to ${device.name}.`, 'stream');
  }
  return stream ?? (device ?? openDevice('cpu')).defaultStream;
}

/** Frees the memory of tensors that were collected without dispose(). */
const backstop = new FinalizationRegistry<NativeTensor>((handle) => handle.dispose());

/**
 * Numbers in device memory, row-major and dense; the contents never change. A tensor made by an op is a promise in
 * disguise: other ops take it at once, {@link Tensor.read} waits for it. Dispose it, or declare it with `using`; the
 * garbage collector is only the backstop. Disposing is safe at any time: queued work keeps the memory it needs.
 *
 * @example
 * using x = Tensor.from([1, 2, 3, 4], [2, 2]);
 * using y = l2Normalize(x);
 * const rows = await y.read();
 */
export class Tensor<D extends DType = DType> extends Owner<NativeTensor> {
  readonly dtype: D;
  readonly shape: readonly number[];
  /** The stream of the op that makes it. */
  readonly stream: Stream;

  /** @internal Use {@link Tensor.from}, {@link Tensor.zeros} or an op. */
  constructor(stream: Stream, dtype: D, shape: readonly number[], handle: NativeTensor) {
    super(handle, 'tensor');
    this.stream = stream;
    this.dtype = dtype;
    this.shape = Object.freeze([...shape]);
    backstop.register(this, handle, this);
  }

  /**
   * A tensor with a copy of `data`, which may change as soon as this returns.
   *
   * @param data a typed array of the dtype's kind (f16 and bf16: a Uint16Array of their bits), or plain numbers
   * (i64: bigints).
   * @param shape its product is the array's length; `[data.length]` by default.
   * @throws PadlessError E_INVALID_ARGUMENT for data, shape, dtype or options that do not fit, E_OUT_OF_MEMORY,
   * E_DEVICE, E_DISPOSED.
   */
  static from<const D extends DType>(
    data: TensorArrays[D],
    shape: readonly number[] | undefined,
    options: TensorOptions<D> & { dtype: D },
  ): Tensor<D>;
  static from(
    data: Float32Array | readonly number[],
    shape?: readonly number[],
    options?: TensorOptions<'f32'>,
  ): Tensor<'f32'>;
  static from(data: Int32Array, shape?: readonly number[], options?: TensorOptions<'i32'>): Tensor<'i32'>;
  static from(data: BigInt64Array, shape?: readonly number[], options?: TensorOptions<'i64'>): Tensor<'i64'>;
  static from(data: Uint8Array, shape?: readonly number[], options?: TensorOptions<'u8'>): Tensor<'u8'>;
  static from<const D extends DType>(
    data: ArrayBufferView | readonly number[] | readonly bigint[],
    shape: readonly number[] | undefined,
    options: TensorOptions<D> & { dtype: D },
  ): Tensor<D>;
  static from(data: unknown, shape?: readonly number[], options?: TensorOptions): Tensor {
    const { dtype: wanted, ...rest } = checkOptions('Tensor.from', options, tensorOptions);
    const stream = placement('Tensor.from', rest);
    const { dtype, array } = toArray(data, wanted);
    const dims = shape ?? [array.length];
    const elements = elementsOf('Tensor.from', dims);
    if (elements !== array.length) {
      throw invalid(
        'Tensor.from',
        `shape [${dims}] has ${elements} elements, but data has ${array.length}.`,
        'shape',
      );
    }
    return new Tensor(
      stream,
      dtype,
      dims,
      native(() => addon.createTensor(stream.native, dtype, elements, array)),
    );
  }

  /** A tensor of zeros, f32 by default. @throws PadlessError as {@link Tensor.from}. */
  static zeros<const D extends DType = 'f32'>(
    shape: readonly number[],
    options?: TensorOptions<D>,
  ): Tensor<D> {
    const { dtype = 'f32', ...rest } = checkOptions('Tensor.zeros', options, tensorOptions);
    const stream = placement('Tensor.zeros', rest);
    const elements = elementsOf('Tensor.zeros', shape);
    return new Tensor(
      stream,
      dtype as D,
      shape,
      native(() => addon.createTensor(stream.native, dtype, elements, null)),
    );
  }

  get device(): Device {
    return this.stream.device;
  }

  /** Product of the shape. */
  get size(): number {
    return this.shape.reduce((product, dim) => product * dim, 1);
  }

  /**
   * A copy of the contents, in the order of the tensor's stream.
   *
   * @throws PadlessError with the error of the op that should have made the tensor, or that of an operand;
   * E_OUT_OF_MEMORY, E_DISPOSED.
   */
  async read(): Promise<TensorArrays[D]> {
    const stream = this.stream.disposed ? this.device.defaultStream : this.stream;
    const buffer = await nativeAsync(() => this.native.read(stream.native));
    return new arrays[this.dtype](buffer) as TensorArrays[D];
  }

  /**
   * The same memory in another shape. Each of the two is disposed on its own.
   *
   * @throws PadlessError E_INVALID_ARGUMENT unless the products of the shapes are equal, E_DISPOSED.
   */
  reshape(shape: readonly number[]): Tensor<D> {
    if (elementsOf('Tensor.reshape', shape) !== this.size) {
      throw invalid(
        'Tensor.reshape',
        `[${this.shape}] cannot become [${shape}]: another number of elements.`,
        'shape',
      );
    }
    return new Tensor(
      this.stream,
      this.dtype,
      shape,
      native(() => this.native.share()),
    );
  }

  /** Gives the memory back, once queued work has done with it. */
  override dispose(): void {
    backstop.unregister(this);
    super.dispose();
  }
}
