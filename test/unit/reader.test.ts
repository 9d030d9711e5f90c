import { reader } from '../../ts/models/reader';
import { expectError } from '../support/errors';

const field = (values: Record<string, unknown>) => reader(values, 'config.json');

test('values of every type', () => {
  const config = field({
    n: 1.5,
    i: -3,
    yes: true,
    word: 'gelu',
    words: ['a', 'b', 'a'],
    nested: { deep: { eps: 1e-5 } },
    loose: 'False',
  });
  expect(config.number('n')).toBe(1.5);
  expect(config.integer('i')).toBe(-3);
  expect(config.boolean('yes')).toBe(true);
  expect(config.string('word')).toBe('gelu');
  expect(config.oneOf('word', ['relu', 'gelu'])).toBe('gelu');
  expect(config.listOf('words', ['a', 'b'])).toEqual(['a', 'b', 'a']);
  expect(config.object('nested').object('deep').number('eps')).toBe(1e-5);
  expect(config.looseBoolean('loose')).toBe(false);
  expect(field({ loose: 'TRUE' }).looseBoolean('loose')).toBe(true);
  expect(config.raw('words')).toEqual(['a', 'b', 'a']);
});

test('absent and null take the default, or undefined where the value is optional', () => {
  const config = field({ null: null });
  for (const name of ['null', 'absent']) {
    expect(config.has(name)).toBe(false);
    expect(config.number(name, 2)).toBe(2);
    expect(config.integer(name, { min: 5 }, 0)).toBe(0);
    expect(config.boolean(name, false)).toBe(false);
    expect(config.looseBoolean(name, true)).toBe(true);
    expect(config.string(name, '')).toBe('');
    expect(config.oneOf(name, ['a', 'b'], 'b')).toBe('b');
    expect(config.optionalNumber(name)).toBeUndefined();
    expect(config.optionalInteger(name)).toBeUndefined();
    expect(config.optionalBoolean(name)).toBeUndefined();
    expect(config.optionalString(name)).toBeUndefined();
    expect(config.optionalOneOf(name, ['a'])).toBeUndefined();
    expect(config.optionalObject(name)).toBeUndefined();
    expect(config.raw(name)).toBeUndefined();
  }
});

test('of several names the first present one counts', () => {
  expect(field({ dim: 1, hidden_size: null }).integer(['hidden_size', 'dim'])).toBe(1);
  expect(field({ dim: 1, hidden_size: 2 }).integer(['hidden_size', 'dim'])).toBe(2);
});

test('what was read, and what was not', () => {
  const config = field({ a: 1, b: 2, c: null, d: 4 });
  config.integer(['a', 'x']);
  config.has('d');
  expect([...config.consumed].sort()).toEqual(['a', 'x']);
  expect(config.unread()).toEqual(['b', 'd']);
});

test('keys of Object.prototype are not fields', () => {
  expect(field({}).has('constructor')).toBe(false);
  expect(field({}).optionalObject('__proto__')).toBeUndefined();
});

describe('E_BAD_CONFIG', () => {
  type Read = (config: ReturnType<typeof field>) => unknown;
  test.each<[string, Record<string, unknown>, Read, string, string]>([
    ['a missing key', {}, (c) => c.integer('hidden_size'), 'hidden_size', '"hidden_size" is missing'],
    ['a missing key with other names', {}, (c) => c.integer(['a', 'b']), 'a', 'is missing (or "b")'],
    [
      'a missing key that is misspelt',
      { hiden_size: 1 },
      (c) => c.integer('hidden_size'),
      'hidden_size',
      'is "hiden_size" a typo',
    ],
    ['a string for a number', { n: '1' }, (c) => c.number('n'), 'n', 'must be a number, not "1"'],
    ['a fraction for an integer', { n: 1.5 }, (c) => c.integer('n'), 'n', 'must be an integer, not 1.5'],
    ['an integer that doubles cannot hold', { n: 2 ** 53 }, (c) => c.integer('n'), 'n', 'must be an integer'],
    [
      'a number below its range',
      { n: 0 },
      (c) => c.integer('n', { min: 1 }),
      'n',
      'an integer of at least 1, not 0',
    ],
    [
      'a number above its range',
      { n: 9 },
      (c) => c.number('n', 0, { max: 8 }),
      'n',
      'a number of at most 8, not 9',
    ],
    ['a number outside its range', { n: 9 }, (c) => c.integer('n', { min: 1, max: 8 }), 'n', 'from 1 to 8'],
    ['infinity', { n: Infinity }, (c) => c.number('n'), 'n', 'must be a number, not Infinity'],
    ['NaN', { n: NaN }, (c) => c.number('n', 1), 'n', 'must be a number, not NaN'],
    [
      'a string for a boolean',
      { b: 'true' },
      (c) => c.boolean('b'),
      'b',
      'must be true or false, not "true"',
    ],
    ['a number for a boolean', { b: 1 }, (c) => c.boolean('b', true), 'b', 'must be true or false, not 1'],
    [
      'another word for a loose boolean',
      { b: 'yes' },
      (c) => c.looseBoolean('b'),
      'b',
      'must be true or false',
    ],
    ['a number for a string', { s: 1 }, (c) => c.string('s'), 's', 'must be a string'],
    ['a number for a word', { s: 1 }, (c) => c.oneOf('s', ['a']), 's', 'must be a string'],
    ['a list for an object', { o: [] }, (c) => c.object('o'), 'o', 'must be an object'],
    ['a string for a list', { l: 'a' }, (c) => c.listOf('l', ['a']), 'l', 'must be a list'],
    ['a missing list', {}, (c) => c.listOf('l', ['a']), 'l', 'is missing'],
    ['a missing object', {}, (c) => c.object('o'), 'o', 'is missing'],
    [
      'a nested field',
      { rope: { theta: 'x' } },
      (c) => c.object('rope').number('theta'),
      'rope.theta',
      '"rope.theta" must be',
    ],
  ])('%s', async (_name, values, read, name, words) => {
    const error = await expectError(() => read(field(values)), { code: 'E_BAD_CONFIG', field: name, words });
    expect(error.message).toMatch(/^config\.json: /);
  });

  test('long values are cut in the message', async () => {
    const error = await expectError(() => field({ s: ['x'.repeat(10_000)] }).string('s'), {
      code: 'E_BAD_CONFIG',
    });
    expect(error.message.length).toBeLessThan(200);
  });
});

describe('E_UNSUPPORTED', () => {
  test('an unknown word lists what is supported', () =>
    expectError(() => field({ act: 'mish' }).oneOf('act', ['gelu', 'tanh']), {
      code: 'E_UNSUPPORTED',
      field: 'act',
      words: 'is "mish", which is not supported; supported are gelu, tanh',
    }));

  test('a typo gets the nearest word', () =>
    expectError(() => field({ act: 'gelu_nwe' }).oneOf('act', ['gelu_new', 'tanh'], 'tanh'), {
      code: 'E_UNSUPPORTED',
      words: 'did you mean "gelu_new"?',
    }));

  test('an unknown word in a list names its place', () =>
    expectError(() => field({ l: ['a', 'q'] }).listOf('l', ['a']), { code: 'E_UNSUPPORTED', field: 'l[1]' }));
});
