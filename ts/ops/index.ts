export type { FloatTensor, OpOptions } from './call';
export { attention, type AttentionOptions, type AttentionSpan } from './attention';
export { linear, type LinearOptions } from './linear';
export { l2Normalize, layerNorm, rmsNorm, type LayerNormOptions, type RmsNormOptions } from './norm';
export { pack, unpack } from './packing';
export { pool, type PoolMode, type PoolOptions } from './pool';
