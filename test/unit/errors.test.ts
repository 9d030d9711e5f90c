import { PadlessError, abortError, fromNative, native, nativeAsync, throwIfAborted } from '../../ts/errors';
import { boolean, checkOptions, integer, nearest, oneOf, string } from '../../ts/options';
import { expectError } from '../support/errors';

describe('errors', () => {
  test('native errors become PadlessErrors with code, field and cause', async () => {
    const plain = Object.assign(new Error('no'), { code: 'E_BAD_WEIGHTS', field: 'a.b' });
    const error = fromNative(plain) as PadlessError;
    expect(error).toBeInstanceOf(PadlessError);
    expect(error).toMatchObject({
      name: 'PadlessError',
      code: 'E_BAD_WEIGHTS',
      field: 'a.b',
      message: 'no',
      cause: plain,
    });
    const fail = () => {
      throw plain;
    };
    await expectError(() => native(fail), { code: 'E_BAD_WEIGHTS' });
    await expectError(() => nativeAsync(() => Promise.reject(plain)), { code: 'E_BAD_WEIGHTS' });
    await expectError(() => nativeAsync(fail), { code: 'E_BAD_WEIGHTS' });
  });

  test('others pass unchanged', () => {
    for (const other of [
      new TypeError('x'),
      Object.assign(new Error('x'), { code: 'ENOENT' }),
      null,
      'x',
      error(),
    ]) {
      expect(fromNative(other)).toBe(other);
    }
    function error() {
      return new PadlessError('E_INTERNAL', 'x');
    }
  });

  test('a signal that fired', async () => {
    throwIfAborted(undefined);
    throwIfAborted(new AbortController().signal);
    const signal = AbortSignal.abort('why');
    await expectError(() => throwIfAborted(signal), { code: 'E_ABORTED', field: 'signal' });
    expect(abortError(signal).cause).toBe('why');
  });
});

describe('options', () => {
  const shape = { dtype: oneOf(['f32', 'bf16']), threads: integer(1, 8), name: string, fast: boolean };
  const check = (options: unknown) => checkOptions('op', options, shape);

  test('good ones pass, undefined counts as absent', () => {
    expect(check(undefined)).toEqual({});
    expect(check({ dtype: 'f32', threads: 8, name: '', fast: false })).toEqual({
      dtype: 'f32',
      threads: 8,
      name: '',
      fast: false,
    });
    expect(check({ dtype: undefined })).toEqual({});
  });

  test.each([
    [{ dtpye: 'f32' }, 'dtpye', 'Misspelled option "dtpye" should be "dtype"'],
    [{ colour: 1 }, 'colour', 'Unknown option'],
    [{ constructor: 1 }, 'constructor', 'Unknown option'],
    [{ dtype: 'f64' }, 'dtype', '"f32", "bf16"'],
    [{ threads: 0 }, 'threads', 'from 1 to 8'],
    [{ threads: 1.5 }, 'threads', 'integer'],
    [{ name: 1 }, 'name', 'string'],
    [{ fast: 'yes' }, 'fast', 'true or false'],
    [null, 'options', 'object'],
    [[], 'options', 'object'],
    ['f32', 'options', 'object'],
  ])('%j is refused', (options, field, words) =>
    expectError(() => check(options), { code: 'E_INVALID_ARGUMENT', field, words }),
  );

  test('nearest knows typos from other words', () => {
    expect(nearest('streem', ['stream', 'span'])).toBe('stream');
    expect(nearest('Threads', ['threads'])).toBe('threads');
    expect(nearest('zebra', ['stream', 'span'])).toBeUndefined();
  });
});
