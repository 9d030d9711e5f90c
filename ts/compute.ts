/**
 * What a matrix product computes in. `'int8'` (CPUs) and `'fp8'` (e4m3; GPUs of compute capability 9.0) have a scale for
 * each output channel of the weight and each row of the activations.
 */
export type Compute = 'f32' | 'bf16' | 'f16' | 'int8' | 'fp8';

/** Every {@link Compute}. */
export const computes = ['f32', 'bf16', 'f16', 'int8', 'fp8'] as const satisfies readonly Compute[];
