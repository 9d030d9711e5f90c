import { native } from '../errors';
import { addon } from '../native';
import { type Check, boolean, checkOptions, integer } from '../options';
import type { PackedBatch } from '../packed';
import { streamOption } from '../stream';
import { type DType, Tensor } from '../tensor';
import { Call, type OpOptions } from './call';

const number: Check<number> = (value, fail) =>
  Number.isFinite(value) ? (value as number) : fail('a finite number');

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
