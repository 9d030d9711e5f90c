// Masks with holes: right where positions alone tell, refused where distances between tokens would shrink.
import { Encoder } from '../../ts/encoder';
import { PackedBatch } from '../../ts/packed';
import { testDevices } from '../support/devices';
import { expectError } from '../support/errors';
import { readGolden } from '../support/goldens';

const ids = [2, 9, 0, 11, 3];
const withHole = () => PackedBatch.fromPadded(ids, [1, 1, 0, 1, 1], [1, 5]);
const shifted = () => PackedBatch.fromPadded([0, ...ids], [0, 1, 1, 1, 1, 1], [1, 6]);
const outputs = ['lastHiddenState'] as const;

describe.each(testDevices())('on $label', ({ request }) => {
  test.each(['mpnet', 'deberta-v3', 'deberta-v2-conv', 'jina-bert', 'modernbert', 'mistral'])(
    '%s refuses a hole, not padding at the left',
    async (name) => {
      using encoder = await Encoder.load(readGolden(name).checkpoint, { device: request });
      await expectError(() => encoder.run(withHole(), { outputs }), {
        code: 'E_UNSUPPORTED',
        field: 'positions',
      });
      const { lastHiddenState } = await encoder.run(shifted(), { outputs });
      expect(lastHiddenState).toHaveLength(5 * encoder.spec.hiddenSize);
    },
  );

  test.each(['bert', 'qwen3'])('%s runs a hole by its positions', async (name) => {
    using encoder = await Encoder.load(readGolden(name).checkpoint, { device: request });
    const tokens = ids.filter((_, i) => i !== 2);
    const explicit = PackedBatch.fromIds({ ids: tokens, cuSeqlens: [0, 4], positions: [0, 1, 3, 4] });
    const closed = PackedBatch.fromSequences([tokens]);
    const result = await encoder.run(withHole(), { outputs });
    expect(result).toEqual(await encoder.run(explicit, { outputs }));
    expect(result).not.toEqual(await encoder.run(closed, { outputs }));
  });
});
