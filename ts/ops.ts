import { PadlessError, native } from './errors';
import { addon, type NativeTensor } from './native';
import { type Check, boolean, checkOptions, integer, oneOf } from './options';
import { type Integers, PackedBatch } from './packed';
import { type Stream, streamOption } from './stream';
import { type DType, Tensor } from './tensor';
import type { Activation } from './models/spec';
import { type Compute, LinearWeight } from './weight';

/** An option of every op. */
export interface OpOptions {
  /** The queue that the op joins; the default stream of the operands' device by default. */
  stream?: Stream | undefined;
}

export type PoolMode = 'cls' | 'mean' | 'max' | 'lasttoken' | 'weightedmean' | 'mean_sqrt_len';

export type FloatTensor = Tensor<'f32'> | Tensor<'f16'> | Tensor<'bf16'> | Tensor;

const floats: readonly DType[] = ['f32', 'f16', 'bf16'];

/** The checks of one call of an op: each throws E_INVALID_ARGUMENT naming the op and the operand. */
class Call {
  readonly #operands: [string, Tensor | LinearWeight][] = [];
  constructor(readonly op: string) {}

  fail(message: string, field: string): never {
    throw new PadlessError('E_INVALID_ARGUMENT', `${this.op}: ${message}`, { field });
  }

  /** A float tensor of at least `rank` dimensions. */
  tensor(value: unknown, field: string, rank = 1): Tensor {
    if (!(value instanceof Tensor)) return this.fail(`${field} must be a Tensor.`, field);
    if (!floats.includes(value.dtype))
      this.fail(`${field} is ${value.dtype}; it must be f32, f16 or bf16.`, field);
    if (value.shape.length < rank)
      this.fail(`${field} is [${value.shape}]; it needs ${rank} dimensions or more.`, field);
    this.#operands.push([field, value]);
    return value;
  }

  /** A tensor of exactly this shape, and dtype where one is given. */
  shaped(value: unknown, field: string, shape: readonly number[], dtype?: DType): Tensor {
    const tensor = this.tensor(value, field);
    if (tensor.shape.length !== shape.length || tensor.shape.some((dim, i) => dim !== shape[i])) {
      this.fail(`${field} is [${tensor.shape}]; it must be [${shape}].`, field);
    }
    if (dtype && tensor.dtype !== dtype)
      this.fail(`${field} is ${tensor.dtype}; it must be ${dtype}.`, field);
    return tensor;
  }

  weight(value: LinearWeight, field: string): LinearWeight {
    this.#operands.push([field, value]);
    return value;
  }

  batch(value: unknown): PackedBatch {
    return value instanceof PackedBatch ? value : this.fail('batch must be a PackedBatch.', 'batch');
  }

  /** The stream to join; all operands must be on its device. */
  stream(given: Stream | undefined): Stream {
    const stream = given ?? this.#operands[0]![1].device.defaultStream;
    for (const [field, operand] of this.#operands) {
      if (operand.device !== stream.device) {
        this.fail(`${field} is on ${operand.device.name}, the stream on ${stream.device.name}.`, field);
      }
    }
    return stream;
  }
}

/** A tensor as a matrix: its last dimension, and the product of the others. */
function matrix(tensor: Tensor): { rows: number; cols: number } {
  const cols = tensor.shape[tensor.shape.length - 1]!;
  return { rows: tensor.shape.slice(0, -1).reduce((product, dim) => product * dim, 1), cols };
}

const optionalTensor = (tensor: Tensor | undefined): NativeTensor | null => tensor?.native ?? null;

/** Tensors are checked by the op, which knows their shapes. */
const any: Check<unknown> = (value) => value;

const number: Check<number> = (value, fail) =>
  Number.isFinite(value) ? (value as number) : fail('a finite number');

/** Row of each token in the padded array [B * length]. */
function paddedRows(call: Call, batch: PackedBatch, length: number): Int32Array {
  const { cuSeqlens, positions } = batch;
  const rows = new Int32Array(batch.tokens);
  for (let b = 0; b < batch.sequences; b++) {
    for (let t = cuSeqlens[b]!; t < cuSeqlens[b + 1]!; t++) {
      if (positions[t]! >= length) {
        call.fail(
          `position ${positions[t]} of sequence ${b} lies beyond the padded length ${length}.`,
          'batch',
        );
      }
      rows[t] = b * length + positions[t]!;
    }
  }
  return rows;
}

/**
 * Drops the padding of a tensor.
 *
 * @param padded [B, L, H]
 * @param rows which of the B * L rows stay: a batch made by {@link PackedBatch.fromPadded}, or the mask itself,
 * [B * L] of 0 and 1.
 * @returns [T, H], the dtype of `padded`.
 * @throws PadlessError E_INVALID_ARGUMENT, E_DISPOSED.
 */
export function pack<D extends DType>(
  padded: Tensor<D>,
  rows: PackedBatch | Integers,
  options?: OpOptions,
): Tensor<D> {
  const call = new Call('pack');
  const { stream: given } = checkOptions('pack', options, { stream: streamOption });
  const x = call.tensor(padded, 'padded', 3);
  if (x.shape.length !== 3)
    call.fail(`padded is [${x.shape}]; it must be [sequences, length, columns].`, 'padded');
  const [sequences, length, cols] = x.shape as [number, number, number];
  const batch =
    rows instanceof PackedBatch
      ? rows
      : PackedBatch.fromPadded(new Int32Array(rows.length), rows, [sequences, length]);
  if (batch.sequences !== sequences) {
    call.fail(`the batch has ${batch.sequences} sequences, padded has ${sequences}.`, 'batch');
  }
  const stream = call.stream(given);
  const indices = paddedRows(call, batch, length);
  const handle = native(() => addon.gatherRows(stream.native, x.native, sequences * length, cols, indices));
  return new Tensor(stream, padded.dtype, [batch.tokens, cols], handle);
}

/**
 * Puts the padding back: token t of sequence b goes to column `positions[t]` of row b, everything else is zero.
 *
 * @param packed [T, H]
 * @param paddedLength L
 * @returns [B, L, H], the dtype of `packed`.
 * @throws PadlessError E_INVALID_ARGUMENT, also for positions beyond L and for two tokens at one place; E_DISPOSED.
 */
export function unpack<D extends DType>(
  packed: Tensor<D>,
  batch: PackedBatch,
  paddedLength: number,
  options?: OpOptions,
): Tensor<D> {
  const call = new Call('unpack');
  const { stream: given } = checkOptions('unpack', options, { stream: streamOption });
  const { tokens, sequences } = call.batch(batch);
  const x = call.tensor(packed, 'packed', 2);
  const cols = x.shape[1]!;
  call.shaped(packed, 'packed', [tokens, cols]);
  if (!Number.isSafeInteger(paddedLength) || paddedLength < 0) {
    call.fail('paddedLength must be an integer of at least 0.', 'paddedLength');
  }
  const stream = call.stream(given);
  const indices = new Int32Array(sequences * paddedLength).fill(-1);
  paddedRows(call, batch, paddedLength).forEach((row, t) => {
    if (indices[row] !== -1) call.fail(`tokens ${indices[row]} and ${t} have the same position.`, 'batch');
    indices[row] = t;
  });
  const handle = native(() => addon.gatherRows(stream.native, x.native, tokens, cols, indices));
  return new Tensor(stream, packed.dtype, [sequences, paddedLength, cols], handle);
}

/** Options of {@link linear}. */
export interface LinearOptions extends OpOptions {
  /** [out]; a {@link LinearWeight} has its own. */
  bias?: FloatTensor | undefined;
  /** `'none'` by default; `'gelu'` is the exact one, with erf. */
  activation?: Activation | undefined;
  /** [..., out], added after the activation. */
  residual?: FloatTensor | undefined;
  /** What the product computes in, where the weight is a tensor; `'f32'` by default. */
  compute?: Compute | undefined;
}

const activations = ['none', 'gelu', 'gelu_tanh', 'relu', 'silu', 'tanh', 'sigmoid'] as const;

/**
 * activation(x W^T + bias) + residual.
 *
 * @param x [..., in]
 * @param weight [out, in], as torch.nn.Linear has it; a tensor is packed for this one call, so make a
 * {@link LinearWeight} of what is used twice.
 * @returns [..., out], the dtype of `x`.
 * @throws PadlessError E_INVALID_ARGUMENT, E_DISPOSED, E_OUT_OF_MEMORY.
 */
export function linear<D extends DType>(
  x: Tensor<D>,
  weight: FloatTensor | LinearWeight,
  options?: LinearOptions,
): Tensor<D> {
  const call = new Call('linear');
  const checked = checkOptions('linear', options, {
    stream: streamOption,
    bias: any,
    activation: oneOf(activations),
    residual: any,
    compute: oneOf(['f32', 'bf16', 'f16', 'int8']),
  });
  const input = call.tensor(x, 'x');
  if (weight instanceof Tensor) {
    const { stream: given, bias, compute } = checked;
    const stream = given ?? input.device.defaultStream;
    using packed = LinearWeight.pack(weight, { bias: bias as Tensor | undefined, compute, stream });
    const { activation, residual } = checked;
    return linear(x, packed, { activation, residual: residual as Tensor | undefined, stream });
  }
  if (!(weight instanceof LinearWeight))
    return call.fail('weight must be a Tensor or a LinearWeight.', 'weight');
  for (const field of ['bias', 'compute'] as const) {
    if (checked[field] !== undefined) call.fail(`a LinearWeight has its own ${field}.`, field);
  }
  call.weight(weight, 'weight');
  const { rows, cols } = matrix(input);
  if (cols !== weight.inFeatures) {
    call.fail(`x is [${input.shape}]; the weight takes ${weight.inFeatures} columns.`, 'x');
  }
  const shape = [...input.shape.slice(0, -1), weight.outFeatures];
  const residual =
    checked.residual === undefined ? undefined : call.shaped(checked.residual, 'residual', shape, x.dtype);
  const stream = call.stream(checked.stream);
  const handle = native(() =>
    addon.linear(
      stream.native,
      input.native,
      rows,
      cols,
      weight.native,
      weight.outFeatures,
      checked.activation ?? 'none',
      optionalTensor(residual),
    ),
  );
  return new Tensor(stream, x.dtype, shape, handle);
}

/** Options of {@link layerNorm}. */
export interface LayerNormOptions extends OpOptions {
  /** f32 [H] */
  gamma: Tensor<'f32'> | Tensor;
  /** f32 [H]; none by default. */
  beta?: Tensor<'f32'> | Tensor | undefined;
  /** 1e-5 by default, as in torch.nn.LayerNorm; BERT has 1e-12. */
  eps?: number | undefined;
  /** Shape and dtype of `x`, added to it first. */
  residual?: FloatTensor | undefined;
}

/** Options of {@link rmsNorm}. */
export type RmsNormOptions = Omit<LayerNormOptions, 'beta'>;

const positive: Check<number> = (value, fail) =>
  Number.isFinite(value) && (value as number) >= 0 ? (value as number) : fail('a number of at least 0');

function norm<D extends DType>(
  kind: 'layer' | 'rms',
  x: Tensor<D>,
  options: LayerNormOptions,
  defaultEps: number,
): Tensor<D> {
  const op = `${kind}Norm`;
  const call = new Call(op);
  const checked = checkOptions(op, options, {
    stream: streamOption,
    gamma: any,
    ...(kind === 'layer' && { beta: any }),
    eps: positive,
    residual: any,
  });
  const input = call.tensor(x, 'x');
  const { rows, cols } = matrix(input);
  const gamma = call.shaped(checked.gamma, 'gamma', [cols], 'f32');
  const beta = checked.beta === undefined ? undefined : call.shaped(checked.beta, 'beta', [cols], 'f32');
  const residual =
    checked.residual === undefined
      ? undefined
      : call.shaped(checked.residual, 'residual', input.shape, x.dtype);
  const stream = call.stream(checked.stream);
  const handle = native(() =>
    addon.norm(
      stream.native,
      input.native,
      rows,
      cols,
      kind,
      gamma.native,
      optionalTensor(beta),
      checked.eps ?? defaultEps,
      optionalTensor(residual),
    ),
  );
  return new Tensor(stream, x.dtype, input.shape, handle);
}

/**
 * (z - mean(z)) / sqrt(var(z) + eps) * gamma + beta over the last dimension, z = x + residual: Ba et al. 2016.
 *
 * @param x [..., H]
 * @returns the shape and dtype of `x`.
 * @throws PadlessError E_INVALID_ARGUMENT, E_DISPOSED, E_OUT_OF_MEMORY.
 */
export function layerNorm<D extends DType>(x: Tensor<D>, options: LayerNormOptions): Tensor<D> {
  return norm('layer', x, options, 1e-5);
}

/**
 * z / sqrt(mean(z^2) + eps) * gamma over the last dimension, z = x + residual, eps 1e-6 by default: Zhang and
 * Sennrich 2019.
 *
 * @param x [..., H]
 * @returns the shape and dtype of `x`.
 * @throws PadlessError E_INVALID_ARGUMENT, E_DISPOSED, E_OUT_OF_MEMORY.
 */
export function rmsNorm<D extends DType>(x: Tensor<D>, options: RmsNormOptions): Tensor<D> {
  return norm('rms', x, options, 1e-6);
}

/**
 * x / max(||x||_2, 1e-12) over the last dimension, as torch.nn.functional.normalize.
 *
 * @param x [..., H]
 * @returns the shape and dtype of `x`.
 * @throws PadlessError E_INVALID_ARGUMENT, E_DISPOSED, E_OUT_OF_MEMORY.
 */
export function l2Normalize<D extends DType>(x: Tensor<D>, options?: OpOptions): Tensor<D> {
  const call = new Call('l2Normalize');
  const { stream: given } = checkOptions('l2Normalize', options, { stream: streamOption });
  const input = call.tensor(x, 'x');
  const { rows, cols } = matrix(input);
  const stream = call.stream(given);
  const handle = native(() => addon.l2Normalize(stream.native, input.native, rows, cols));
  return new Tensor(stream, x.dtype, input.shape, handle);
}

/** Which keys a query sees, by place in its own sequence; a window without a side is open on it. */
export type AttentionSpan = 'full' | 'causal' | { left?: number; right?: number };

/** Options of {@link attention}. */
export interface AttentionOptions extends OpOptions {
  /** Needed where q is [T, heads * D]. */
  heads?: number | undefined;
  /** Heads of k and v, a divisor of `heads`, which is the default. */
  kvHeads?: number | undefined;
  /** Of q k^T; 1 / sqrt(D) by default. */
  scale?: number | undefined;
  /** `'full'` by default. */
  span?: AttentionSpan | undefined;
  /** Also return the log of the softmax's denominator. */
  lse?: boolean | undefined;
}

const side = integer(0, 2 ** 31 - 1);

const span: Check<AttentionSpan> = (value, fail) => {
  if (value === 'full' || value === 'causal') return value;
  if (typeof value !== 'object') return fail('"full", "causal" or {left, right}');
  return checkOptions('attention span', value, { left: side, right: side });
};

/** Heads and columns of a head of a tensor [T, heads, D] or [T, heads * D]. */
function headShape(
  call: Call,
  tensor: Tensor,
  field: string,
  heads: number | undefined,
): { heads: number; headDim: number } {
  const [, second, third] = tensor.shape;
  if (tensor.shape.length === 3) {
    if (heads !== undefined && heads !== second)
      call.fail(`${field} is [${tensor.shape}]; it must have ${heads} heads.`, field);
    return { heads: second!, headDim: third! };
  }
  if (tensor.shape.length !== 2)
    call.fail(`${field} is [${tensor.shape}]; it must be [T, heads, D] or [T, heads * D].`, field);
  if (heads === undefined)
    return call.fail(`say how many heads the ${second} columns of ${field} hold.`, 'heads');
  if (second! % heads !== 0)
    call.fail(`the ${second} columns of ${field} do not divide into ${heads} heads.`, 'heads');
  return { heads, headDim: second! / heads };
}

/**
 * softmax(scale q k^T) v in every sequence of a batch by itself: nothing is padded, and no [S, S] matrix exists.
 *
 * @param q [T, heads, D] or [T, heads * D]
 * @param k [T, kvHeads, D] or [T, kvHeads * D]; query head h reads key head floor(h * kvHeads / heads).
 * @param v as `k`
 * @returns the shape and dtype of `q`; with `lse` also the natural log of the softmax's denominator, f32 [heads, T].
 * A query that sees no key yields zeros, and an lse of minus infinity.
 * @throws PadlessError E_INVALID_ARGUMENT, E_DISPOSED, E_OUT_OF_MEMORY.
 *
 * @example
 * using out = attention(q, k, v, batch, { heads: 12, span: { left: 64, right: 64 } });
 */
export function attention<D extends DType>(
  q: Tensor<D>,
  k: Tensor<D>,
  v: Tensor<D>,
  batch: PackedBatch,
  options: AttentionOptions & { lse: true },
): { out: Tensor<D>; lse: Tensor<'f32'> };
export function attention<D extends DType>(
  q: Tensor<D>,
  k: Tensor<D>,
  v: Tensor<D>,
  batch: PackedBatch,
  options?: AttentionOptions & { lse?: false | undefined },
): Tensor<D>;
export function attention<D extends DType>(
  q: Tensor<D>,
  k: Tensor<D>,
  v: Tensor<D>,
  batch: PackedBatch,
  options?: AttentionOptions,
): Tensor<D> | { out: Tensor<D>; lse: Tensor<'f32'> } {
  const call = new Call('attention');
  const heads = integer(1, 65536);
  const checked = checkOptions('attention', options, {
    stream: streamOption,
    heads,
    kvHeads: heads,
    scale: number,
    span,
    lse: boolean,
  });
  const { tokens } = call.batch(batch);
  const query = headShape(call, call.tensor(q, 'q', 2), 'q', checked.heads);
  const kvHeads = checked.kvHeads ?? (k instanceof Tensor && k.shape.length === 3 ? undefined : query.heads);
  const key = headShape(call, call.tensor(k, 'k', 2), 'k', kvHeads);
  if (key.headDim !== query.headDim)
    call.fail(`heads of q have ${query.headDim} columns, those of k ${key.headDim}.`, 'k');
  if (query.headDim === 0) call.fail('heads without columns.', 'q');
  if (query.heads % key.heads !== 0)
    call.fail(`${query.heads} heads do not divide into ${key.heads} kvHeads.`, 'kvHeads');
  call.shaped(v, 'v', k.shape);
  for (const [field, tensor] of Object.entries({ q, k, v })) {
    if (tensor.shape[0] !== tokens)
      call.fail(`${field} is [${tensor.shape}]; the batch has ${tokens} tokens.`, field);
    if (tensor.dtype !== q.dtype) call.fail(`${field} is ${tensor.dtype}, q is ${q.dtype}.`, field);
  }
  const window = typeof checked.span === 'object' ? checked.span : {};
  const stream = call.stream(checked.stream);
  const result = native(() =>
    addon.attention(stream.native, q.native, k.native, v.native, batch, {
      heads: query.heads,
      kvHeads: key.heads,
      headDim: query.headDim,
      scale: checked.scale ?? 1 / Math.sqrt(query.headDim),
      causal: checked.span === 'causal',
      windowLeft: window.left ?? -1,
      windowRight: window.right ?? -1,
      lse: checked.lse ?? false,
    }),
  );
  const out = new Tensor(stream, q.dtype, q.shape, result.out);
  return result.lse ? { out, lse: new Tensor(stream, 'f32', [query.heads, tokens], result.lse) } : out;
}

/** Options of {@link pool}. */
export interface PoolOptions extends OpOptions {
  /** `'mean'` by default. */
  mode?: PoolMode | undefined;
  /** Leading tokens of each sequence that do not count, such as those of a prompt; [B] counts. */
  skip?: Integers | undefined;
}

const poolModes = ['cls', 'mean', 'max', 'lasttoken', 'weightedmean', 'mean_sqrt_len'] as const;

/**
 * One row of each sequence, as sentence-transformers pools: the first token, the mean, the maximum, the last token,
 * the mean weighted by 1, 2, 3, ..., or the sum over the root of the length. An empty sequence gives zeros.
 *
 * @param x [T, H]
 * @returns f32 [B, H]
 * @throws PadlessError E_INVALID_ARGUMENT, E_DISPOSED, E_OUT_OF_MEMORY.
 */
export function pool(x: FloatTensor, batch: PackedBatch, options?: PoolOptions): Tensor<'f32'> {
  const call = new Call('pool');
  const checked = checkOptions('pool', options, { stream: streamOption, mode: oneOf(poolModes), skip: any });
  const { tokens, sequences } = call.batch(batch);
  const input = call.tensor(x, 'x', 2);
  const cols = input.shape[1]!;
  call.shaped(x, 'x', [tokens, cols]);
  let skip: Int32Array | null = null;
  if (checked.skip !== undefined) {
    skip = PackedBatch.fromSequences([checked.skip as Integers]).ids;
    if (skip.length !== sequences)
      call.fail(`skip has ${skip.length} entries for ${sequences} sequences.`, 'skip');
  }
  const stream = call.stream(checked.stream);
  const handle = native(() =>
    addon.pool(stream.native, input.native, cols, batch, checked.mode ?? 'mean', skip),
  );
  return new Tensor(stream, 'f32', [sequences, cols], handle);
}
