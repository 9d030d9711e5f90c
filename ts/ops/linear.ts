import { computes, type Compute } from '../compute';
import { native } from '../errors';
import { addon } from '../native';
import type { Activation } from '../models/spec';
import { checkOptions, oneOf } from '../options';
import { streamOption } from '../stream';
import { type DType, Tensor } from '../tensor';
import { LinearWeight } from '../weight';
import { Call, type FloatTensor, type OpOptions, any, matrix, optionalTensor } from './call';

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
    compute: oneOf(computes),
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
