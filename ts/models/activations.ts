import type { Reader } from './reader';
import type { Activation } from './spec';

/** Activations as transformers' ACT2FN names them; `gelu` is erf, `gelu_new` the tanh approximation. */
export const activations: Readonly<Record<string, Activation>> = {
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
};

/** The activation that the field names; E_UNSUPPORTED for one that nothing here computes. */
export function activationOf(field: Reader, name: string, fallback: string): Activation {
  return activations[field.oneOf(name, Object.keys(activations), fallback)]!;
}
