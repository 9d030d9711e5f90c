import type { ChunkOptions } from '../tasks/chunk_pooling';

/** Flags of the commands that read long texts in chunks. */
export interface ChunkFlags {
  chunk?: boolean;
  stride?: number;
  chunkPooling?: 'mean' | 'max';
}

/** The option `chunks` of a call; nothing without `--chunk`. */
export function chunkOptions({ chunk, stride, chunkPooling }: ChunkFlags): { chunks?: ChunkOptions } {
  if (!chunk) return {};
  return {
    chunks: {
      ...(stride !== undefined && { stride }),
      ...(chunkPooling !== undefined && { pooling: chunkPooling }),
    },
  };
}
