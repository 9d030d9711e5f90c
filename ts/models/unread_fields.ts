import type { Reader } from './reader';

/** What a key of config.json says where it changes nothing. */
const isOff = (value: unknown): boolean =>
  value === false || value === 0 || value === 1 || value === 'default' || isEmpty(value);

const isEmpty = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0;

/** Keys that change what a model computes, wherever they are known, and the values of theirs that do not. */
const MATHS: Readonly<Record<string, (value: unknown) => boolean>> = {
  alibi: isOff,
  attention_multiplier: isOff,
  attention_sinks: isOff,
  attn_logit_softcapping: isOff,
  clip_qkv: isOff,
  embedding_multiplier: isOff,
  is_decoder: isOff,
  lora_adaptations: isOff,
  moe_top_k: isOff,
  num_experts: isOff,
  num_experts_per_tok: isOff,
  num_local_experts: isOff,
  parallel_block: isOff,
  partial_rotary_factor: isOff,
  position_embedding_type: (value) => value === 'absolute',
  pruned_heads: isOff,
  qk_norm: isOff,
  quantization_config: isOff,
  query_pre_attn_scalar: isOff,
  residual_multiplier: isOff,
  rope_scaling: isOff,
  scale_embedding: isOff,
  sliding_window: isOff,
  use_alibi: isOff,
  use_bidirectional_attention: isOff,
  use_qk_norm: isOff,
  use_rms_norm: isOff,
  use_sliding_window: isOff,
};

/**
 * Refuses config.json where it says something that changes results and that the family has not looked at, such as
 * the scaling of a rope in a BERT: the weights come from other code than this model type's.
 *
 * @throws PadlessError E_UNSUPPORTED naming the key.
 */
export function refuseUnreadMaths(field: Reader): void {
  for (const name of field.unread()) {
    const changesNothing = Object.hasOwn(MATHS, name) ? MATHS[name]! : () => true;
    const value = field.raw(name);
    if (changesNothing(value)) continue;
    throw field.error(
      name,
      `is ${JSON.stringify(value).slice(0, 80)}, which this model_type does not know here; remove the key if the model was trained without it`,
      'E_UNSUPPORTED',
    );
  }
}
