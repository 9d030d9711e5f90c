import type { Device } from './device';
import { PadlessError, native } from './errors';
import { Owner } from './handle';
import { computes, type Compute } from './compute';
import { addon, type NativeWeight } from './native';
import { checkOptions, oneOf } from './options';
import { type Stream, streamOption } from './stream';
import { Tensor } from './tensor';

export type { Compute } from './compute';

/** Options of {@link LinearWeight.pack}. */
export interface LinearWeightOptions {
  /** f32, f16 or bf16 [out] */
  bias?: Tensor | undefined;
  /** `'f32'` by default. */
  compute?: Compute | undefined;
  stream?: Stream | undefined;
}

const floats = ['f32', 'f16', 'bf16'];

function invalid(message: string, field: string): PadlessError {
  return new PadlessError('E_INVALID_ARGUMENT', `LinearWeight.pack: ${message}`, { field });
}

function floatTensor(value: unknown, field: string): Tensor {
  if (!(value instanceof Tensor)) throw invalid(`${field} must be a Tensor.`, field);
  if (!floats.includes(value.dtype))
    throw invalid(`${field} is ${value.dtype}; it must be f32, f16 or bf16.`, field);
  return value;
}

/** A linear layer in the layout of a device's kernels: packed once, for any number of products. */
export class LinearWeight extends Owner<NativeWeight> {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly device: Device;

  private constructor(device: Device, outFeatures: number, inFeatures: number, handle: NativeWeight) {
    super(handle, 'weight');
    this.device = device;
    this.outFeatures = outFeatures;
    this.inFeatures = inFeatures;
  }

  /**
   * Packs a weight; the tensors may be disposed at once.
   *
   * @param weight [out, in], as torch.nn.Linear has it.
   * @throws PadlessError E_INVALID_ARGUMENT, E_DISPOSED. A dtype that the device does not compute in shows as
   * E_UNSUPPORTED when a product is read.
   *
   * @example
   * using layer = LinearWeight.pack(weight, { bias });
   * using y = linear(x, layer, { activation: 'gelu' });
   */
  static pack(weight: Tensor, options?: LinearWeightOptions): LinearWeight {
    const checked = checkOptions('LinearWeight.pack', options, {
      bias: (value) => value,
      compute: oneOf(computes),
      stream: streamOption,
    });
    const { shape, device } = floatTensor(weight, 'weight');
    const [outFeatures, inFeatures] = shape as [number, number];
    if (shape.length !== 2 || outFeatures < 1 || inFeatures < 1) {
      throw invalid(
        `weight is [${shape}]; it must be [out features, in features], both at least 1.`,
        'weight',
      );
    }
    const bias = checked.bias === undefined ? undefined : floatTensor(checked.bias, 'bias');
    if (bias && (bias.shape.length !== 1 || bias.shape[0] !== outFeatures)) {
      throw invalid(`bias is [${bias.shape}]; it must be [${outFeatures}].`, 'bias');
    }
    const stream = checked.stream ?? device.defaultStream;
    for (const [field, tensor] of Object.entries({ weight, ...(bias && { bias }) })) {
      if (tensor.device !== stream.device) {
        throw invalid(`${field} is on ${tensor.device.name}, the stream on ${stream.device.name}.`, field);
      }
    }
    const handle = native(() =>
      addon.packLinear(
        stream.native,
        weight.native,
        outFeatures,
        inFeatures,
        bias?.native ?? null,
        checked.compute ?? 'f32',
      ),
    );
    return new LinearWeight(device, outFeatures, inFeatures, handle);
  }
}
