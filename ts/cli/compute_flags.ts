import type { ComputeDtype, LoadOptions } from '../encoder';

/** Flags of every command that computes. */
export interface ComputeFlags {
  device: string;
  dtype: ComputeDtype;
  threads?: number;
}

export function computeOptions({ device, dtype, threads }: ComputeFlags): LoadOptions {
  return { device, dtype, ...(threads !== undefined && { threads }) };
}
