import { PackedBatch } from '../../ts/packed';
import { expectError } from '../support/errors';

const arrays = ({ ids, positions, tokenTypes, cuSeqlens }: PackedBatch) => ({
  ids: [...ids],
  positions: [...positions],
  tokenTypes: tokenTypes && [...tokenTypes],
  cuSeqlens: [...cuSeqlens],
});

describe('fromSequences', () => {
  test('lays sequences back to back', () => {
    const batch = PackedBatch.fromSequences([[5, 6, 7], [], Int32Array.of(8)], {
      tokenTypes: [[0, 1, 1], [], [1]],
    });
    expect(arrays(batch)).toEqual({
      ids: [5, 6, 7, 8],
      positions: [0, 1, 2, 0],
      tokenTypes: [0, 1, 1, 1],
      cuSeqlens: [0, 3, 3, 4],
    });
    expect(batch).toMatchObject({ tokens: 4, sequences: 3, maxLength: 3 });
    expect([...batch.lengths]).toEqual([3, 0, 1]);
  });

  test('empty batches and 64-bit ids', () => {
    expect(arrays(PackedBatch.fromSequences([]))).toEqual({
      ids: [],
      positions: [],
      tokenTypes: undefined,
      cuSeqlens: [0],
    });
    expect([...PackedBatch.fromSequences([BigInt64Array.of(1n, 2n)]).ids]).toEqual([1, 2]);
    expect(PackedBatch.fromSequences([]).maxLength).toBe(0);
  });

  test('holds copies, and does not change', () => {
    const ids = Int32Array.of(1, 2);
    const batch = PackedBatch.fromSequences([ids]);
    ids.fill(9);
    expect([...batch.ids]).toEqual([1, 2]);
    expect(() => ((batch as { ids: Int32Array }).ids = ids)).toThrow();
  });

  test.each([
    ['a negative id', [[1, -1]], {}, 'sequences', 'sequences[0][1]'],
    ['a fraction', [[1], [1.5]], {}, 'sequences', 'sequences[1][0]'],
    ['NaN', [[NaN]], {}, 'sequences', 'NaN'],
    ['2^31', [[2 ** 31]], {}, 'sequences', '2147483648'],
    ['a string', [['1']], {}, 'sequences', 'sequences[0][0]'],
    ['null', [[1, null]], {}, 'sequences', 'sequences[0][1]'],
    ['false', [[false]], {}, 'sequences', 'sequences[0][0]'],
    ['a list for an id', [[1, []]], {}, 'sequences', 'sequences[0][1]'],
    ['a text for a sequence', ['abc'], {}, 'sequences', 'sequences[0]'],
    ['no array', 'abc', {}, 'sequences', 'array'],
    ['token types of fewer sequences', [[1], [2]], { tokenTypes: [[0]] }, 'tokenTypes', '2'],
    ['token types of another length', [[1, 2]], { tokenTypes: [[0]] }, 'tokenTypes', 'tokenTypes[0]'],
    ['a misspelled option', [[1]], { tokenType: [[0]] }, 'tokenType', 'Misspelled'],
  ])('refuses %s', (_, sequences, options, field, words) =>
    expectError(() => PackedBatch.fromSequences(sequences as never, options as never), {
      code: 'E_INVALID_ARGUMENT',
      field,
      words,
    }),
  );
});

/** More tokens than 32 bits count, in little memory: the same array again and again. */
test('refuses more than 2^31 - 1 tokens before it has memory for them', async () => {
  const sequence = new Uint8Array(2 ** 20);
  const sequences = Array<Uint8Array>(2 ** 11).fill(sequence);
  const before = process.memoryUsage().arrayBuffers;
  await expectError(() => PackedBatch.fromSequences(sequences), {
    code: 'E_INVALID_ARGUMENT',
    field: 'sequences',
    words: '2147483648 tokens',
  });
  await expectError(() => PackedBatch.fromPadded([1], [1], [2 ** 16, 2 ** 15]), {
    code: 'E_INVALID_ARGUMENT',
    field: 'ids',
    words: '65536 * 32768',
  });
  await expectError(() => PackedBatch.fromIds({ ids: [1], cuSeqlens: [0, 2 ** 31] }), {
    code: 'E_INVALID_ARGUMENT',
    field: 'cuSeqlens',
    words: '2147483648',
  });
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
});

describe('fromPadded', () => {
  test('drops padding on either side and in holes; tokens keep their columns', () => {
    const ids = [0, 1, 2, 3, 4, 5, -9, 7, 8, -1, -1, -1];
    const mask = [0, 1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 0];
    const batch = PackedBatch.fromPadded(ids, mask, [3, 4], {
      tokenTypes: ids.map((id) => Math.max(id, 0) % 2),
    });
    expect(arrays(batch)).toEqual({
      ids: [1, 2, 4, 5, 7],
      positions: [1, 2, 0, 1, 3],
      tokenTypes: [1, 0, 0, 1, 1],
      cuSeqlens: [0, 2, 5, 5],
    });
  });

  test.each([
    ['a mask of other values', [1, 2], [1, -10000], [1, 2], 'mask'],
    ['too short a mask', [1, 2], [1], [1, 2], 'mask'],
    ['another shape', [1, 2], [1, 1], [2, 2], 'ids'],
    ['a shape of one dimension', [1, 2], [1, 1], [2], 'shape'],
    ['a negative id under the mask', [1, -2], [1, 1], [1, 2], 'ids'],
    ['null for an id', [1, null], [1, 1], [1, 2], 'ids'],
    ['text for an id', [1, '2'], [1, 1], [1, 2], 'ids'],
    ['null in the mask', [1, 2], [1, null], [1, 2], 'mask'],
    ['text in the mask', [1, 2], ['1', 1], [1, 2], 'mask'],
  ])('refuses %s', (_, ids, mask, shape, field) =>
    expectError(() => PackedBatch.fromPadded(ids as never, mask as never, shape as never), {
      code: 'E_INVALID_ARGUMENT',
      field,
    }),
  );
});

describe('fromIds', () => {
  test('takes packed arrays, with or without positions', () => {
    expect(arrays(PackedBatch.fromIds({ ids: [4, 5, 6], cuSeqlens: [0, 1, 3] })).positions).toEqual([
      0, 0, 1,
    ]);
    expect(
      arrays(PackedBatch.fromIds({ ids: [4, 5], cuSeqlens: [0, 2], positions: [3, 7] })).positions,
    ).toEqual([3, 7]);
  });

  test.each([
    ['cuSeqlens that are empty', { ids: [], cuSeqlens: [] }, 'cuSeqlens'],
    ['cuSeqlens that start after 0', { ids: [1, 2], cuSeqlens: [1, 2] }, 'cuSeqlens'],
    ['cuSeqlens that decrease', { ids: [1, 2], cuSeqlens: [0, 2, 1, 2] }, 'cuSeqlens'],
    ['cuSeqlens that overshoot', { ids: [1, 2], cuSeqlens: [0, 3] }, 'cuSeqlens'],
    ['cuSeqlens that stop short', { ids: [1, 2], cuSeqlens: [0, 1] }, 'cuSeqlens'],
    ['negative cuSeqlens', { ids: [1], cuSeqlens: [0, -1, 1] }, 'cuSeqlens'],
    ['no cuSeqlens', { ids: [1] }, 'cuSeqlens'],
    ['no ids', { cuSeqlens: [0] }, 'ids'],
    ['positions of another length', { ids: [1, 2], cuSeqlens: [0, 2], positions: [0] }, 'positions'],
    ['negative token types', { ids: [1], cuSeqlens: [0, 1], tokenTypes: [-1] }, 'tokenTypes'],
  ])('refuses %s', (_, given, field) =>
    expectError(() => PackedBatch.fromIds(given as never), { code: 'E_INVALID_ARGUMENT', field }),
  );
});

test('split gives views by sequence', async () => {
  const batch = PackedBatch.fromSequences([[1, 2], [], [3]]);
  const values = Float32Array.of(1, 2, 3, 4, 5, 6);
  expect(batch.split(values, 2).map((view) => [...view])).toEqual([[1, 2, 3, 4], [], [5, 6]]);
  expect(batch.split(values, 2)[0]!.buffer).toBe(values.buffer);
  await expectError(() => batch.split(values), { code: 'E_INVALID_ARGUMENT', field: 'values' });
});
