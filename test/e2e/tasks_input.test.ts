// What the tasks on heads make of unusual and of bad input.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Classifier } from '../../ts/tasks/classifier';
import { FillMask } from '../../ts/tasks/fill_mask';
import { QuestionAnswerer } from '../../ts/tasks/question_answerer';
import { TokenClassifier } from '../../ts/tasks/token_classifier';
import { expectError } from '../support/errors';
import { readGolden } from '../support/goldens';
import { scratchDirectory } from '../support/scratch';
import { spoilTensor } from '../support/spoil';
import { STRANGE_TEXTS as strange } from '../support/strange';
import { editJson, taskCopies } from '../support/tasks';
import { exactCpu } from '../support/devices';

const scratch = scratchDirectory();
const copyOf = taskCopies(scratch);

describe('Classifier', () => {
  test('an empty list, a single text, many texts in small batches', async () => {
    await using classifier = await Classifier.load(copyOf('classify-one-of'), { device: exactCpu });
    expect(await classifier.classify([])).toEqual([]);
    const texts = Array.from({ length: 40 }, (_, i) => `${'the tide '.repeat(i)}${i}`);
    const together = await classifier.classify(texts);
    const apart = await classifier.classify(texts, { batchTokens: 1 });
    expect(apart).toEqual(together);
    expect(await classifier.classify(texts[7]!)).toEqual([together[7]]);
    expect(classifier.labels).toEqual(['calm', 'glad', 'cross']);
    for (const scores of together) {
      expect(scores.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 12);
    }
  });

  test('the activation can be chosen', async () => {
    await using classifier = await Classifier.load(copyOf('classify-one-of'), { device: exactCpu });
    const [logits] = await classifier.classify('bread', { activation: 'none' });
    const [scores] = await classifier.classify('bread', { activation: 'sigmoid' });
    expect(scores![0]!.score).toBeCloseTo(1 / (1 + Math.exp(-logits![0]!.score)), 12);
  });

  test.each<[string, unknown, object, string, string]>([
    ['a number', 1, {}, 'E_INVALID_ARGUMENT', 'texts'],
    ['a pair without its second', { text: 'a' }, {}, 'E_INVALID_ARGUMENT', 'texts[0]'],
    ['texts and pairs', ['a', { text: 'a', pair: 'b' }], {}, 'E_INVALID_ARGUMENT', 'texts[0]'],
    ['a misspelled option', 'a', { topk: 1 }, 'E_INVALID_ARGUMENT', 'topk'],
    ['an unknown activation', 'a', { activation: 'tanh' }, 'E_INVALID_ARGUMENT', 'activation'],
    ['topK 0', 'a', { topK: 0 }, 'E_INVALID_ARGUMENT', 'topK'],
    ['a long text uncut', 'tide '.repeat(500), { truncate: false }, 'E_TOO_LONG', 'texts[0]'],
    ['a fired signal', 'a', { signal: AbortSignal.abort() }, 'E_ABORTED', 'signal'],
  ])('refuses %s', async (_name, input, options, code, field) => {
    await using classifier = await Classifier.load(copyOf('classify-one-of'), { device: exactCpu });
    await expect(classifier.classify(input as string, options)).rejects.toMatchObject({
      name: 'PadlessError',
      code,
      field,
    });
    expect(await classifier.classify('later')).toHaveLength(1);
  });

  test('a call pending at dispose rejects, and so do later ones', async () => {
    const classifier = await Classifier.load(copyOf('classify-one-of'), { device: exactCpu });
    const pending = classifier.classify(Array<string>(2000).fill('the tide'), { batchTokens: 64 });
    const settled = expect(pending).rejects.toMatchObject({ code: 'E_DISPOSED' });
    classifier.dispose();
    await settled;
    await expect(classifier.classify('a')).rejects.toMatchObject({ code: 'E_DISPOSED' });
  });
});

describe('a checkpoint is refused', () => {
  const labels = (id2label: object) => (folder: string) =>
    editJson(join(folder, 'config.json'), (config) => (config['id2label'] = id2label));
  const set = (key: string, value: unknown) => (folder: string) =>
    editJson(join(folder, 'config.json'), (config) => (config[key] = value));

  test.each<[string, (folder: string) => void, string, string]>([
    ['labels with a hole', labels({ 0: 'a', 2: 'c', 3: 'd' }), 'E_BAD_CONFIG', 'id2label'],
    ['labels that do not start at 0', labels({ 1: 'a', 2: 'b', 3: 'c' }), 'E_BAD_CONFIG', 'id2label'],
    ['a label without a number', labels({ 0: 'a', 1: 'b', x: 'c' }), 'E_BAD_CONFIG', 'id2label'],
    ['a label that is no string', labels({ 0: 'a', 1: 2, 2: 'c' }), 'E_BAD_CONFIG', 'id2label.1'],
    ['no labels', labels({}), 'E_BAD_CONFIG', 'id2label'],
    ['fewer labels than weights', labels({ 0: 'a', 1: 'b' }), 'E_BAD_WEIGHTS', 'classifier.weight'],
    ['num_labels of another count', set('num_labels', 2), 'E_BAD_CONFIG', 'num_labels'],
    ['an unknown problem_type', set('problem_type', 'ranking'), 'E_UNSUPPORTED', 'problem_type'],
    ['another head', set('architectures', ['BertForTokenClassification']), 'E_UNSUPPORTED', 'architectures'],
    ['an unknown head', set('architectures', ['BertForMultipleChoice']), 'E_UNSUPPORTED', 'architectures'],
    ['no head', set('architectures', ['BertModel']), 'E_UNSUPPORTED', 'architectures'],
    ['no architectures', set('architectures', undefined), 'E_UNSUPPORTED', 'architectures'],
    [
      'NaN in the head',
      (folder) => spoilTensor(join(folder, 'model.safetensors'), 'classifier.weight'),
      'E_BAD_WEIGHTS',
      'classifier.weight',
    ],
    [
      'NaN in the encoder',
      (folder) => spoilTensor(join(folder, 'model.safetensors'), 'bert.pooler.dense.bias'),
      'E_BAD_WEIGHTS',
      'bert.pooler.dense.bias',
    ],
    ['no tokenizer', (folder) => rmSync(join(folder, 'tokenizer.json')), 'E_BAD_TOKENIZER', 'tokenizer.json'],
  ])('with %s', async (_name, spoil, code, field) => {
    const folder = copyOf('classify-one-of');
    spoil(folder);
    await expectError(() => Classifier.load(folder), { code: code as never, field });
  });
});

describe('TokenClassifier', () => {
  test.each(['entities-bert', 'entities-roberta', 'entities-xlm-roberta', 'entities-camembert'])(
    '%s: offsets stay true on strange texts',
    async (name) => {
      await using classifier = await TokenClassifier.load(copyOf(name), { device: exactCpu });
      for (const aggregation of ['none', 'simple', 'first', 'average', 'max'] as const) {
        const found = await classifier.classify(strange, { aggregation, ignoreLabels: [] });
        strange.forEach((text, i) => {
          let last = 0;
          for (const { start, end, text: part, score } of found[i]!) {
            expect(part).toBe(text.slice(start, end));
            expect(start).toBeGreaterThanOrEqual(aggregation === 'none' ? 0 : last);
            expect(end).toBeLessThanOrEqual(text.length);
            expect(end).toBeGreaterThanOrEqual(start);
            expect(score > 0 && score <= 1).toBe(true);
            last = start;
          }
          // No half of a surrogate pair is left at an end, but for those that the text has.
          if (i === 0) return;
          const halves = found[i]!.filter(({ text: part }) => /^[\udc00-\udfff]|[\ud800-\udbff]$/.test(part));
          expect(halves).toEqual([]);
        });
      }
    },
  );

  test('windows see what a cut loses', async () => {
    await using classifier = await TokenClassifier.load(copyOf('entities-bert'), { device: exactCpu });
    const text = 'Anna mends the nets in the harbour. '.repeat(30);
    const [cut] = await classifier.classify(text, { ignoreLabels: [] });
    const [whole] = await classifier.classify(text, { ignoreLabels: [], stride: 10 });
    expect(cut!.at(-1)!.end).toBeLessThan(text.length / 2);
    expect(whole!.at(-1)!.end).toBe(text.trimEnd().length);
  });

  test.each<[string, unknown, object, string, string]>([
    ['an unknown aggregation', 'a', { aggregation: 'mean' }, 'E_INVALID_ARGUMENT', 'aggregation'],
    [
      'a stride with aggregation none',
      'a',
      { aggregation: 'none', stride: 1 },
      'E_INVALID_ARGUMENT',
      'stride',
    ],
    ['a stride as long as a window', 'a', { stride: 96 }, 'E_INVALID_ARGUMENT', 'stride'],
    ['labels that are no list', 'a', { ignoreLabels: 'O' }, 'E_INVALID_ARGUMENT', 'ignoreLabels'],
    ['a long text uncut', 'tide '.repeat(500), { truncate: false }, 'E_TOO_LONG', 'texts[0]'],
  ])('refuses %s', async (_name, input, options, code, field) => {
    await using classifier = await TokenClassifier.load(copyOf('entities-bert'), { device: exactCpu });
    await expectError(() => classifier.classify(input as string, options), { code: code as never, field });
  });
});

describe('FillMask', () => {
  test('names its mask, and refuses a text without one', async () => {
    await using filler = await FillMask.load(copyOf('masks-roberta'), { device: exactCpu });
    expect(filler.maskToken).toBe('<mask>');
    await expectError(() => filler.fill(['a <mask>', 'none here']), {
      code: 'E_INVALID_ARGUMENT',
      field: 'texts[1]',
    });
    await expectError(() => filler.fill(`${'tide '.repeat(500)}<mask>`), {
      code: 'E_INVALID_ARGUMENT',
      field: 'texts[0]',
    });
  });

  test('probabilities of the whole vocabulary add up to one', async () => {
    await using filler = await FillMask.load(copyOf('masks-bert'), { device: exactCpu });
    const [masks] = await filler.fill('The [MASK] wanders.', { topK: 1e6 });
    const all = masks![0]!;
    expect(all.length).toBe(600);
    expect(all.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 12);
    expect(all.every(({ score }, i) => i === 0 || score <= all[i - 1]!.score)).toBe(true);
  });

  test('targets are the only candidates, with their scores among all', async () => {
    await using filler = await FillMask.load(copyOf('masks-bert'), { device: exactCpu });
    const text = 'bread [MASK] butter [MASK]';
    const [all] = await filler.fill(text, { topK: 1e6 });
    const targets = ['the', '##s', 'nothing', 'the'];
    const vocabulary = readFileSync(join(readGolden('bert').checkpoint, 'vocab.txt'), 'utf8').split('\n');
    const ids = targets.map((target) => vocabulary.indexOf(target));
    const [found] = await filler.fill(text, { targets });
    all!.forEach((mask, i) => {
      const wanted = mask.filter(({ id }) => ids.includes(id));
      expect(wanted.length).toBe(3);
      expect(found![i]!.map(({ id, score }) => [id, score])).toEqual(
        wanted.map(({ id, score }) => [id, score]),
      );
    });
    expect((await filler.fill(text, { targets, topK: 1 }))[0]!.map(({ length }) => length)).toEqual([1, 1]);
  });

  test.each([
    [[], 'targets'],
    [['what', 'nowhereland'], 'targets[1]'],
    [['\u{1F9C2}'], 'targets[0]'],
  ])('refuses the targets %j', async (targets, field) => {
    await using filler = await FillMask.load(copyOf('masks-bert'), { device: exactCpu });
    await expectError(() => filler.fill('[MASK]', { targets }), { code: 'E_INVALID_ARGUMENT', field });
  });

  test('refuses a tokenizer without a mask', async () => {
    const folder = copyOf('masks-bert');
    editJson(join(folder, 'tokenizer_config.json'), (config) => (config['mask_token'] = '<none>'));
    await expectError(() => FillMask.load(folder), { code: 'E_BAD_TOKENIZER', field: 'mask_token' });
  });
});

describe('QuestionAnswerer', () => {
  test('answers are stretches of the context, on strange texts too', async () => {
    await using answerer = await QuestionAnswerer.load(copyOf('questions-roberta'), { device: exactCpu });
    const questions = strange.map((context) => ({ question: 'who \ud800?', context }));
    const found = await answerer.answer(questions, { topK: 5, nullAnswer: true });
    strange.forEach((context, i) => {
      for (const { answer, start, end, score } of found[i]!) {
        expect(answer).toBe(context.slice(start, end));
        expect(Number.isFinite(score)).toBe(true);
      }
    });
  });

  test('a context without a token has no answer, or the null answer', async () => {
    await using answerer = await QuestionAnswerer.load(copyOf('questions-bert'), { device: exactCpu });
    expect(await answerer.answer({ question: 'who?', context: '' })).toEqual([[]]);
    const [answers] = await answerer.answer({ question: 'who?', context: '' }, { nullAnswer: true });
    expect(answers).toMatchObject([{ answer: '', start: 0, end: 0 }]);
    expect(await answerer.answer([])).toEqual([]);
  });

  test('windows of one question or of many give the same', async () => {
    await using answerer = await QuestionAnswerer.load(copyOf('questions-bert'), { device: exactCpu });
    const questions = ['who?', 'where is the map?'].map((question, i) => ({
      question,
      context: 'The harbour wakes before the bakery. '.repeat(20 * (i + 1)),
    }));
    const together = await answerer.answer(questions, { topK: 4, windowTokens: 48, stride: 10 });
    for (const [i, question] of questions.entries()) {
      const options = { topK: 4, windowTokens: 48, stride: 10, batchTokens: 1 };
      expect(await answerer.answer(question, options)).toEqual([together[i]]);
    }
  });

  test.each<[string, unknown, object, string, string]>([
    ['a string', 'who?', {}, 'E_INVALID_ARGUMENT', 'questions[0]'],
    ['a question without a context', [{ question: 'who?' }], {}, 'E_INVALID_ARGUMENT', 'questions[0]'],
    ['a misspelled option', [], { topk: 1 }, 'E_INVALID_ARGUMENT', 'topk'],
    [
      'a question that leaves no room',
      { question: 'who wakes the harbour '.repeat(40), context: 'the tide' },
      {},
      'E_TOO_LONG',
      'texts[0]',
    ],
    [
      'a stride as long as a window',
      { question: 'who', context: 'the tide' },
      { windowTokens: 20, stride: 30 },
      'E_INVALID_ARGUMENT',
      'stride',
    ],
  ])('refuses %s', async (_name, input, options, code, field) => {
    await using answerer = await QuestionAnswerer.load(copyOf('questions-bert'), { device: exactCpu });
    await expectError(() => answerer.answer(input as never, options), { code: code as never, field });
  });
});
