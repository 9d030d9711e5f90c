import type { LoadOptions } from '../encoder';
import type { Compute } from '../weight';

/** Flags of every command that computes. */
export interface ComputeFlags {
  device: string;
  dtype: Compute;
  threads?: number;
  cacheDir?: string;
}

export function computeOptions({ device, dtype, threads, cacheDir }: ComputeFlags): LoadOptions {
  return {
    device,
    dtype,
    ...(threads !== undefined && { threads }),
    ...(cacheDir !== undefined && { cacheDir }),
  };
}
