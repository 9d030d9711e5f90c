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

/** A BERT directory whose file has tensors of these names. */
function checkpoint(...names: string[]): string {
  const tensor = { dtype: 'F32', shape: [1], data: Float32Array.of(1) } as const;
  return writeTree(join(scratch, String(count++)), {
    'config.json': config,
    'model.safetensors': encodeSafetensors(Object.fromEntries(names.map((name) => [name, tensor]))),
  });
}

test('names with and without the prefix, of both spellings, heads left out', async () => {
  const { tensors } = await describeModel(
    checkpoint(
      'embeddings.word_embeddings.weight',
      'bert.encoder.layer.1.output.LayerNorm.gamma',
      'bert.embeddings.position_ids',
      'cls.predictions.bias',
    ),
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
  await expectError(() => describeModel(checkpoint(...names)), expected);
});
