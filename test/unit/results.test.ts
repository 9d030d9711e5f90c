// Memory of results that were collected serves later ones; what somebody still holds is never touched.
import { readGolden } from '../support/goldens';
import { runProgram } from '../support/child';

const program = (checkpoint: string) => `
  const { Encoder, PackedBatch } = padless;
  (async () => {
    const encoder = await Encoder.load(${JSON.stringify(checkpoint)});
    const batch = (first) =>
      PackedBatch.fromSequences(
        Array.from({ length: 256 }, (_, s) => Array.from({ length: 16 }, (_, i) => (first + s * i) % 40)),
      );
    const run = async (first) =>
      (await encoder.run(batch(first), { outputs: ['lastHiddenState'] })).lastHiddenState;
    const bytes = (result) => Buffer.from(result.buffer, result.byteOffset, result.byteLength);
    const held = [];
    for (let round = 0; round < 24; round++) {
      const result = await run(round);
      if (round % 4 === 0) held.push([round, result, Buffer.from(bytes(result))]);
      global.gc();
      await new Promise((done) => setImmediate(done));
    }
    let changed = 0;
    for (const [, result, copy] of held) changed += bytes(result).compare(copy) !== 0;
    let other = 0;
    for (const [round, result] of held) other += bytes(await run(round)).compare(bytes(result)) !== 0;
    const [, moving, copy] = held[0];
    const moved = structuredClone(moving, { transfer: [moving.buffer] });
    for (let round = 0; round < 4; round++) await run(100 + round);
    encoder.dispose();
    const kept = bytes(moved).compare(copy) === 0 && bytes(held[1][1]).compare(held[1][2]) === 0;
    console.log(JSON.stringify({ size: copy.length, changed, other, kept }));
  })();`;

test('a result keeps its values while others come and go, when it is cloned, and after a dispose', async () => {
  const { checkpoint } = readGolden('bert-sequence');
  const { code, output } = await runProgram(program(checkpoint), ['--expose-gc'], 60_000);
  expect(code).toBe(0);
  const { size, ...rest } = JSON.parse(output) as { size: number };
  // Smaller blocks are not used again.
  expect(size).toBeGreaterThanOrEqual(256 * 1024);
  expect(rest).toEqual({ changed: 0, other: 0, kept: true });
});
