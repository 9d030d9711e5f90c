// What the Reranker makes of unusual and of bad input, on cross-encoders and on a language model.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Reranker } from '../../ts/tasks/reranker';
import { expectError } from '../support/errors';
import { readGolden } from '../support/goldens';
import { scratchDirectory } from '../support/scratch';
import { editJson, taskCopies } from '../support/tasks';

const copyOf = taskCopies(scratchDirectory());

describe('Reranker', () => {
  test('no candidates give an empty list', async () => {
    await using reranker = await Reranker.load(copyOf('rerank-default'));
    expect(await reranker.rank('tides', [])).toEqual([]);
    expect(await reranker.scores([])).toEqual(new Float32Array(0));
  });

  test('a query beyond the limit is cut or refused', async () => {
    await using reranker = await Reranker.load(copyOf('rerank-default'));
    const query = 'how do tides work '.repeat(40);
    const ranked = await reranker.rank(query, ['bread', 'the moon']);
    expect(ranked).toHaveLength(2);
    await expectError(() => reranker.rank(query, ['bread', 'the moon'], { truncate: false }), {
      code: 'E_TOO_LONG',
      field: 'texts[0]',
    });
  });

  test('equal documents keep their order', async () => {
    await using reranker = await Reranker.load(copyOf('rerank-default'));
    const ranked = await reranker.rank('tides', ['bread', 'bread', 'bread']);
    expect(ranked.map(({ index }) => index)).toEqual([0, 1, 2]);
  });

  test('activation none gives logits', async () => {
    await using reranker = await Reranker.load(copyOf('rerank-default'));
    const pairs = [{ text: 'tides', pair: 'the moon' }];
    const [score] = await reranker.scores(pairs);
    const [logit] = await reranker.scores(pairs, { activation: 'none' });
    expect(score).toBeCloseTo(1 / (1 + Math.exp(-logit!)), 6);
  });

  test.each<[string, (folder: string) => void, string, string]>([
    [
      'an unknown activation',
      (folder) =>
        editJson(
          join(folder, 'config.json'),
          (config) => (config['sentence_transformers'] = { activation_fn: 'torch.nn.Tanh' }),
        ),
      'E_UNSUPPORTED',
      'sentence_transformers.activation_fn',
    ],
    [
      'several labels',
      (folder) =>
        editJson(join(folder, 'config.json'), (config) => (config['id2label'] = { 0: 'no', 1: 'yes' })),
      'E_BAD_WEIGHTS',
      'classifier.weight',
    ],
  ])('refuses a checkpoint with %s', async (_name, spoil, code, field) => {
    const folder = copyOf('rerank-default');
    spoil(folder);
    await expectError(() => Reranker.load(folder), { code: code as never, field });
  });

  test('refuses a classifier of several labels, and a module that it does not run', async () => {
    await expectError(() => Reranker.load(copyOf('classify-one-of')), {
      code: 'E_UNSUPPORTED',
      field: 'id2label',
    });
    const folder = copyOf('rerank-modules');
    const modules = JSON.parse(readFileSync(join(folder, 'modules.json'), 'utf8')) as object[];
    const dense = {
      idx: 1,
      name: '1',
      path: '1_Dense',
      type: 'sentence_transformers.base.modules.dense.Dense',
    };
    writeFileSync(join(folder, 'modules.json'), JSON.stringify([...modules, dense]));
    await expectError(() => Reranker.load(folder), { code: 'E_UNSUPPORTED', field: 'type' });
  });

  test.each([
    ['no query', undefined, ['a'], 'query'],
    ['no documents', 'q', undefined, 'documents'],
    ['a document that is no string', 'q', ['a', 1], 'documents[1]'],
  ])('refuses %s', async (_name, query, documents, field) => {
    await using reranker = await Reranker.load(copyOf('rerank-default'));
    await expectError(() => reranker.rank(query as string, documents as string[]), {
      code: 'E_INVALID_ARGUMENT',
      field,
    });
  });
});

/** A fresh copy of the language model, with room for its question. */
function questionModel(): string {
  const folder = copyOf('rerank-qwen3');
  editJson(join(folder, 'tokenizer_config.json'), (config) => (config['model_max_length'] = 1024));
  return folder;
}

describe('Reranker on a language model', () => {
  test('the instruction counts, and cross-encoders take none', async () => {
    await using reranker = await Reranker.load(questionModel());
    const [plain] = await reranker.rank('tides', ['the moon']);
    const [told] = await reranker.rank('tides', ['the moon'], { instruction: 'Find clocks' });
    expect(told!.score).not.toBe(plain!.score);
    await using cross = await Reranker.load(copyOf('rerank-default'));
    await expectError(() => cross.rank('tides', ['the moon'], { instruction: 'Find clocks' }), {
      code: 'E_INVALID_ARGUMENT',
      field: 'instruction',
    });
  });

  test('activation none gives the log-odds of yes', async () => {
    await using reranker = await Reranker.load(questionModel());
    const pairs = [{ text: 'tides', pair: 'the moon' }];
    const [[score], [odds]] = await Promise.all([
      reranker.scores(pairs),
      reranker.scores(pairs, { activation: 'none' }),
    ]);
    expect(score).toBeCloseTo(1 / (1 + Math.exp(-odds!)), 6);
  });

  test('refuses a model whose question is not known, and a tokenizer without the answers', async () => {
    await expectError(() => Reranker.load(readGolden('mistral-causal-lm').checkpoint), {
      code: 'E_UNSUPPORTED',
      field: 'model_type',
    });
    const folder = questionModel();
    const tokenizer = readFileSync(join(folder, 'tokenizer.json'), 'utf8');
    writeFileSync(join(folder, 'tokenizer.json'), tokenizer.replace('"content":"yes"', '"content":"oui"'));
    await expectError(() => Reranker.load(folder), { code: 'E_BAD_TOKENIZER', field: 'tokenizer.json' });
  });

  test('refuses a limit that the question alone fills', async () => {
    await expectError(() => Reranker.load(copyOf('rerank-qwen3')), {
      code: 'E_BAD_CONFIG',
      field: 'model_max_length',
    });
  });
});
