import { native } from '../errors';
import { addon } from '../native';
import { type Check, checkOptions } from '../options';
import { streamOption } from '../stream';
import { type DType, Tensor } from '../tensor';
import { Call, type FloatTensor, type OpOptions, any, matrix, optionalTensor } from './call';

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
