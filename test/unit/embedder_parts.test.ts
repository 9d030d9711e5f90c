import { getEventListeners } from 'node:events';

import { Random } from '../../ts/demo/random';
import { PadlessError } from '../../ts/errors';
import { abortable, onAbort, withSignals } from '../../ts/signals';
import { Embeddings } from '../../ts/tasks/embeddings';
import { checkTexts, promptFor } from '../../ts/tasks/inputs';
import { RowCollector } from '../../ts/tasks/row_collector';
import { similarityMatrix } from '../../ts/tasks/similarity';

const seed = Number(process.env['PADLESS_TEST_SEED'] ?? Date.now() % 1e9);

function code(call: () => unknown): { code: string; field: string | undefined; message: string } {
  try {
    call();
  } catch (error) {
    if (error instanceof PadlessError)
      return { code: error.code, field: error.field, message: error.message };
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('Embeddings', () => {
  const vectors = new Embeddings(Float32Array.of(1, 2, 3, 4, 5, 6), 2, 3);

  test('rows are views of one array', () => {
    const row = vectors.row(1);
    expect([...row]).toEqual([4, 5, 6]);
    expect(row.buffer).toBe(vectors.data.buffer);
  });

  test('iterates and copies', () => {
    expect([...vectors].map((row) => [...row])).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(vectors.toArray()).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
  });

  test.each([-1, 2, 0.5, NaN])('row %p is refused', (index) => {
    expect(() => vectors.row(index)).toThrow('of 2');
  });
});

describe('checkTexts', () => {
  test('one string is a list of one', () => expect(checkTexts('a')).toEqual(['a']));

  test("the list is the caller's no longer", () => {
    const texts = ['a', 'b'];
    const checked = checkTexts(texts);
    texts[0] = 'c';
    expect(checked).toEqual(['a', 'b']);
  });

  test.each([
    ['undefined', undefined, 'texts', 'undefined'],
    ['null', null, 'texts', 'null'],
    ['a number', 5, 'texts', 'number'],
    ['a Set', new Set(['a']), 'texts', 'object'],
    ['a number inside', ['a', 5], 'texts[1]', 'number'],
    ['null inside', [null], 'texts[0]', 'null'],
    ['a pair inside', [['a', 'b']], 'texts[0]', 'an array'],
    ['a hole', Object.assign(['a'], { length: 2 }), 'texts[1]', 'undefined'],
    ['a String object', [Object('a')], 'texts[0]', 'object'],
  ])('%s is refused', (_name, input, field, word) => {
    const error = code(() => checkTexts(input));
    expect(error).toMatchObject({ code: 'E_INVALID_ARGUMENT', field });
    expect(error.message).toContain(word);
  });
});

describe('promptFor', () => {
  const pipeline = { prompts: { query: 'query: ', document: '' }, defaultPromptName: 'query' };

  test.each([
    ['the default', {}, 'query: '],
    ['a name', { promptName: 'document' }, ''],
    ['a text', { prompt: 'x ' }, 'x '],
    ['an empty text, instead of the default', { prompt: '' }, ''],
  ])('%s', (_name, options, expected) => {
    expect(promptFor(options, pipeline)).toBe(expected);
  });

  test('no pipeline, no prompt', () => expect(promptFor({}, undefined)).toBe(''));

  test.each([
    ['a typo', { promptName: 'qurey' }, 'Did you mean "query"'],
    ['an inherited name', { promptName: 'toString' }, '"query", "document"'],
    ['both', { promptName: 'query', prompt: 'x' }, 'not both'],
  ])('%s is refused', (_name, options, words) => {
    const error = code(() => promptFor(options, pipeline));
    expect(error.code).toBe('E_INVALID_ARGUMENT');
    expect(error.message).toContain(words);
  });
});

describe('similarityMatrix', () => {
  const random = new Random(seed);
  const embeddings = (rows: number, columns: number) =>
    new Embeddings(
      Float32Array.from({ length: rows * columns }, () => random.normal()),
      rows,
      columns,
    );
  const a = embeddings(7, 33);
  const b = embeddings(600, 33);
  const dot = (x: number[], y: number[]) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  const reference = {
    dot,
    cosine: (x: number[], y: number[]) => dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y)),
    euclidean: (x: number[], y: number[]) => -Math.hypot(...x.map((value, i) => value - y[i]!)),
    manhattan: (x: number[], y: number[]) => -x.reduce((sum, value, i) => sum + Math.abs(value - y[i]!), 0),
  };

  test.each(Object.keys(reference) as (keyof typeof reference)[])(`%s (seed ${seed})`, async (kind) => {
    const { data, rows, columns } = await similarityMatrix(a, b, kind);
    expect([rows, columns]).toEqual([7, 600]);
    const [left, right] = [a.toArray(), b.toArray()];
    data.forEach((score, i) => {
      expect(score).toBeCloseTo(reference[kind](left[Math.floor(i / 600)]!, right[i % 600]!), 4);
    });
  });

  test('a zero vector has cosine 0', async () => {
    const zero = new Embeddings(new Float32Array(3), 1, 3);
    expect([...(await similarityMatrix(zero, zero, 'cosine')).data]).toEqual([0]);
  });

  test('different sizes are refused', async () => {
    await expect(similarityMatrix(a, embeddings(1, 3), 'dot')).rejects.toMatchObject({
      code: 'E_INVALID_ARGUMENT',
    });
  });
});

describe('RowCollector', () => {
  test('gathers batches in order', async () => {
    const rows = new RowCollector(3);
    await rows.append({ data: Float32Array.of(1, 2, 3, 4), count: 2 });
    await rows.append({ data: Float32Array.of(5, 6), count: 1 });
    expect(rows.embeddings().toArray()).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
  });

  test('takes a single batch over without a copy', async () => {
    const rows = new RowCollector(2);
    const data = Float32Array.of(1, 2, 3, 4);
    await rows.append({ data, count: 2 });
    expect(rows.embeddings().data).toBe(data);
  });

  test('refuses rows of another size', async () => {
    const rows = new RowCollector(2);
    await rows.append({ data: Float32Array.of(1, 2), count: 1 });
    await expect(rows.append({ data: Float32Array.of(1), count: 1 })).rejects.toMatchObject({
      code: 'E_INTERNAL',
    });
  });
});

describe('signals', () => {
  test('abortable rejects at once and unhooks itself', async () => {
    const controller = new AbortController();
    const waiting = abortable(new Promise(() => {}), controller.signal);
    controller.abort('because');
    await expect(waiting).rejects.toMatchObject({ code: 'E_ABORTED', cause: 'because' });
    await expect(abortable(Promise.resolve(1), controller.signal)).rejects.toMatchObject({
      code: 'E_ABORTED',
    });
    await expect(abortable(Promise.resolve(1), undefined)).resolves.toBe(1);
  });

  test('withSignals fires with any of its signals and forgets them afterwards', async () => {
    const [one, two] = [new AbortController(), new AbortController()];
    let inner: AbortSignal | undefined;
    await withSignals([one.signal, undefined, two.signal], async (signal) => {
      inner = signal;
      two.abort('two');
      expect(signal.aborted).toBe(true);
      expect(signal.reason).toBe('two');
    });
    await withSignals([one.signal], async (signal) => void (inner = signal));
    one.abort();
    expect(inner!.aborted).toBe(false);
  });

  test('onAbort keeps one listener for all who wait, and none afterwards', () => {
    const controller = new AbortController();
    const listeners = () => getEventListeners(controller.signal, 'abort').length;
    const fired: number[] = [];
    const unhooks = [1, 2, 3].map((n) => onAbort(controller.signal, () => fired.push(n)));
    expect(listeners()).toBe(1);
    unhooks.forEach((unhook) => unhook());
    expect(listeners()).toBe(0);
    const [first] = [4, 5].map((n) => onAbort(controller.signal, () => fired.push(n)));
    first!();
    controller.abort();
    expect(fired).toEqual([5]);
    unhooks[0]!();
  });
});
