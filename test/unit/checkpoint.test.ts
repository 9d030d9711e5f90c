// Which tensors of a checkpoint are taken, and which make it refused; nothing is loaded.
import { join } from 'node:path';
import { describeModel } from '../../ts/models/description';
import { encodeSafetensors } from '../../ts/io/safetensors';
import { expectError } from '../support/errors';
import { scratchDirectory, writeTree } from '../support/scratch';

const scratch = scratchDirectory();
let count = 0;

const config = {
  model_type: 'bert',
  hidden_size: 8,
  num_attention_heads: 2,
  num_hidden_layers: 2,
  intermediate_size: 16,
  vocab_size: 10,
  max_position_embeddings: 12,
  type_vocab_size: 2,
};

/** A BERT directory whose file has tensors of these names; `more` goes into its config.json. */
function checkpoint(names: readonly string[], more: object = {}): string {
  const tensor = { dtype: 'F32', shape: [1], data: Float32Array.of(1) } as const;
  return writeTree(join(scratch, String(count++)), {
    'config.json': { ...config, ...more },
    'model.safetensors': encodeSafetensors(Object.fromEntries(names.map((name) => [name, tensor]))),
  });
}

test('names with and without the prefix, of both spellings, heads left out', async () => {
  const { tensors } = await describeModel(
    checkpoint([
      'embeddings.word_embeddings.weight',
      'bert.encoder.layer.1.output.LayerNorm.gamma',
      'bert.embeddings.position_ids',
      'cls.predictions.bias',
    ]),
  );
  expect([...tensors].map(([target, { name }]) => [target, name])).toEqual([
    ['layers.1.mlp.norm.gamma', 'bert.encoder.layer.1.output.LayerNorm.gamma'],
    ['embeddings.word', 'embeddings.word_embeddings.weight'],
  ]);
});

test.each([
  [
    'one weight under two names',
    ['bert.embeddings.word_embeddings.weight', 'embeddings.word_embeddings.weight'],
    { code: 'E_BAD_WEIGHTS', field: 'embeddings.word_embeddings.weight', words: 'twice' },
  ],
  [
    'a layer that config.json does not count',
    ['encoder.layer.2.output.dense.weight'],
    { code: 'E_BAD_WEIGHTS', field: 'encoder.layer.2.output.dense.weight', words: '2 layers' },
  ],
  [
    'a tensor inside the encoder that BERT does not have',
    ['encoder.layer.0.attention.self.distance_embedding.weight'],
    {
      code: 'E_UNSUPPORTED',
      field: 'encoder.layer.0.attention.self.distance_embedding.weight',
      words: 'would be lost',
    },
  ],
] as const)('%s is refused', async (_name, names, expected) => {
  await expectError(() => describeModel(checkpoint(names)), expected);
});

const words = ['embeddings.word_embeddings.weight'];

test.each<[string, object]>([
  ['rope_scaling', { rope_scaling: { type: 'linear', factor: 2 } }],
  ['sliding_window', { sliding_window: 128 }],
  ['partial_rotary_factor', { partial_rotary_factor: 0.5 }],
  ['num_experts', { num_experts: 8 }],
  ['use_rms_norm', { use_rms_norm: true }],
  ['quantization_config', { quantization_config: { quant_method: 'gptq', bits: 4 } }],
  ['pruned_heads', { pruned_heads: { 0: [1] } }],
  ['attn_logit_softcapping', { attn_logit_softcapping: 50 }],
])('%s, which changes the maths and which BERT does not have, is refused', async (field, more) => {
  await expectError(() => describeModel(checkpoint(words, more)), { code: 'E_UNSUPPORTED', field });
});

test('the same keys where they change nothing, and keys that nobody knows, are not', async () => {
  const more = {
    rope_scaling: null,
    sliding_window: null,
    partial_rotary_factor: 1,
    num_experts: 0,
    use_rms_norm: false,
    pruned_heads: {},
    gradient_checkpointing: true,
    summary_type: 'first',
    a_key_of_mine: 7,
  };
  await describeModel(checkpoint(words, more));
});
