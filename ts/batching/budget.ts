import type { Device } from '../device';

/** Fills a GPU; a CPU is filled by far less, and there results and aborts come sooner. */
const BATCH_TOKENS = { cpu: 4096, other: 16384 };

/** Tokens of one forward pass, unless the caller says otherwise. */
export function defaultBatchTokens(device: Device): number {
  return device.info.name.startsWith('cpu') ? BATCH_TOKENS.cpu : BATCH_TOKENS.other;
}
