/// <reference lib="esnext.disposable" preserve="true" />
export { PadlessError, type ErrorCode } from './errors';
export { Embedder, type EmbedOptions, type EmbedderLoadOptions } from './tasks/embedder';
export type { ChunkOptions } from './tasks/chunk_pooling';
export {
  SparseEncoder,
  type SparseEncodeOptions,
  type SparseEncoderLoadOptions,
} from './tasks/sparse_encoder';
export type { Side } from './models/routes';
export { SparseVectors, sparseDot, type SparseVector } from './tasks/sparse_vectors';
export {
  LateInteraction,
  type LateDocumentOptions,
  type LateEncodeOptions,
  type LateInteractionLoadOptions,
  type LateRankOptions,
} from './tasks/late_interaction';
export type { PackedVectors } from './tasks/max_sim';
export { M3Embedder, type M3EmbedOptions, type M3Embeddings, type M3LoadOptions } from './tasks/m3_embedder';
export { MultiVectors } from './tasks/multi_vectors';
export { Embeddings } from './tasks/embeddings';
export type { QueueOptions, Task } from './tasks/task';
export type { QueueInfo } from './batching/call_queue';
export type { HeadLoadOptions, LogitsTask } from './tasks/head_task';
export { Classifier, type ClassifyOptions, type LabelScore } from './tasks/classifier';
export { Reranker, type RankOptions, type RankedDocument, type RerankScoreOptions } from './tasks/reranker';
export { TokenClassifier, type TokenClassifyOptions } from './tasks/token_classifier';
export { FillMask, type FillMaskOptions, type Filling } from './tasks/fill_mask';
export { QuestionAnswerer, type Answer, type AnswerOptions, type Question } from './tasks/question_answerer';
export type { Aggregation, Entity } from './tasks/entities';
export type { ScoreActivation } from './tasks/scores';
export type { TextPair } from './tasks/text_pairs';
export type { SimilarityMatrix } from './tasks/similarity';
export {
  Encoder,
  type EncoderLoadOptions,
  type EncoderOutput,
  type EncoderResult,
  type LoadOptions,
  type LoadProgress,
  type RunOptions,
} from './encoder';
export type { MatrixOutput, SparseOptions, SparseRows } from './run';
export type { DenseStep, PipelineSpec, PipelineStep, PoolingMode, Similarity } from './models/pipeline';
export type { Activation, AdapterSpec, BiasSpec, EncoderSpec, LayerSpec, RopeSpec } from './models/spec';
export type { HeadTask, ProblemType, TaskHead, TaskHeadStep } from './models/heads/task_head';
export type { JsonObject, ModelDirectory, WeightFiles } from './models/directory';
export type { ModelExpectation } from './tokenizer/settings';
export { Tokenizer, type EncodeOptions, type TokenizerLoadOptions } from './tokenizer/tokenizer';
export type { PairTruncation, TokenDetails, TokenizedChunk } from './tokenizer/protocol';
export {
  device,
  devices,
  type Device,
  type DeviceInfo,
  type DeviceKind,
  type DeviceOptions,
  type GraphInfo,
  type MemoryInfo,
} from './device';
export type { AttentionPlanOptions } from './attention_plan';
export {
  PackedBatch,
  type Integers,
  type PackedArrays,
  type PaddedOptions,
  type SequenceOptions,
} from './packed';
export { Stream, Event } from './stream';
export { Tensor, type DType, type TensorArrays, type TensorOptions } from './tensor';
export {
  attention,
  l2Normalize,
  layerNorm,
  linear,
  pack,
  pool,
  rmsNorm,
  unpack,
  type AttentionOptions,
  type AttentionSpan,
  type FloatTensor,
  type LayerNormOptions,
  type LinearOptions,
  type OpOptions,
  type PoolMode,
  type PoolOptions,
  type RmsNormOptions,
} from './ops';
export { LinearWeight, type Compute, type LinearWeightOptions } from './weight';
