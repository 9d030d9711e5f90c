import { device, devices } from '../../ts/device';
import { linear } from '../../ts/ops';
import { Tensor } from '../../ts/tensor';
import { expectError } from '../support/errors';
import { normals } from '../support/seeded';

const cpu = device('cpu');

/** Some tens of milliseconds of work. */
function busy(stream = cpu.defaultStream): Tensor<'f32'> {
  const size = 700;
  using a = Tensor.from(normals(size * size, 0.03), [size, size], { stream });
  let x = linear(a, a, { stream });
  for (let i = 0; i < 10; i++) {
    const next = linear(x, a, { stream });
    x.dispose();
    x = next;
  }
  return x;
}

/** A plan of attention that is refused for one field. */
const grouped = (plan: Record<string, unknown>, field: string) =>
  [{ name: 'cuda', attention: { strategy: 'grouped', ...plan } }, 'E_INVALID_ARGUMENT', field] as const;

describe('device', () => {
  test('one handle for each name and configuration', () => {
    expect(device('cpu:0')).toBe(cpu);
    expect(device({ name: 'cpu' })).toBe(cpu);
    expect(device({ threads: 1 })).toBe(device({ name: 'cpu:0', threads: 1 }));
    expect(device({ threads: 1 })).not.toBe(cpu);
    expect(device({ threads: 1 }).info).toMatchObject({
      name: 'cpu',
      kind: 'cpu',
      threads: 1,
      available: true,
    });
    expect(device({ isa: 'portable' }).info.isa).toBe('portable');
    expect(device('auto').info.available).toBe(true);
  });

  test('devices that cannot be used say why', async () => {
    const [first, ...others] = devices();
    expect(first).toMatchObject({ name: 'cpu', kind: 'cpu', available: true });
    for (const { available, reason, name } of others) {
      if (available) continue;
      expect(reason).toMatch(/./);
      await expectError(() => device(name), { code: 'E_DEVICE', field: 'device', words: reason! });
    }
  });

  test.each([
    [{ name: 'gpu' }, 'E_INVALID_ARGUMENT', 'device'],
    [{ name: 'cpux' }, 'E_INVALID_ARGUMENT', 'device'],
    [{ name: 'cpu:1' }, 'E_DEVICE', 'device'],
    [{ name: 'cuda:99' }, 'E_DEVICE', 'device'],
    [{ thread: 2 }, 'E_INVALID_ARGUMENT', 'thread'],
    [{ threads: 0 }, 'E_INVALID_ARGUMENT', 'threads'],
    [{ isa: 'sse' }, 'E_INVALID_ARGUMENT', 'isa'],
    [{ name: 'cuda', threads: 2 }, 'E_INVALID_ARGUMENT', 'threads'],
    [{ name: 'cpu', attention: { strategy: 'single' } }, 'E_INVALID_ARGUMENT', 'attention'],
    [{ name: 'cpu', attention: {} }, 'E_INVALID_ARGUMENT', 'attention'],
    [{ name: 'cuda', attention: 'single' }, 'E_INVALID_ARGUMENT', 'options'],
    [{ name: 'cuda', attention: { strategy: 'split' } }, 'E_INVALID_ARGUMENT', 'strategy'],
    [{ name: 'cuda', attention: { edges: [64] } }, 'E_INVALID_ARGUMENT', 'edges'],
    ...[[0], [-1], [64, 64], [128, 64], [1.5], ['64'], [NaN], [2 ** 31], [1, 2, 3, 4, 5, 6, 7, 8, 9], 64].map(
      (bucketEdges) => grouped({ bucketEdges }, 'bucketEdges'),
    ),
    ...[0, 17, 1.5, '4'].map((streams) => grouped({ streams }, 'streams')),
    [{ name: 'cuda', attention: { bucketEdges: [64] } }, 'E_INVALID_ARGUMENT', 'bucketEdges'],
    [{ name: 'cuda', attention: { strategy: 'single', streams: 2 } }, 'E_INVALID_ARGUMENT', 'streams'],
    [{ name: 'cuda', attention: { strategy: 'persistent', streams: 2 } }, 'E_INVALID_ARGUMENT', 'streams'],
  ] as const)('%j is %s', (options, code, field) =>
    expectError(() => device(options as never), { code, field }),
  );
});

describe('streams and events', () => {
  test('an op on another stream waits for its operand', async () => {
    using one = cpu.createStream();
    using other = cpu.createStream();
    const x = busy(one);
    using doubled = linear(x, Tensor.from(identity(700), [700, 700], { stream: other }), { stream: other });
    expect(await doubled.read()).toEqual(await x.read());
  });

  test('a stream waits for an event of another', async () => {
    using one = cpu.createStream();
    using other = cpu.createStream();
    busy(one).dispose();
    using mark = one.record();
    expect(mark.isComplete).toBe(false);
    other.wait(mark);
    await other.synchronize();
    expect(mark.isComplete).toBe(true);
  });

  test('events take the time', async () => {
    using stream = cpu.createStream();
    using start = stream.record();
    busy(stream).dispose();
    using end = stream.record();
    await expectError(() => end.millisecondsSince(start), { code: 'E_INVALID_ARGUMENT' });
    await stream.synchronize();
    expect(end.millisecondsSince(start)).toBeGreaterThan(0);
    expect(start.millisecondsSince(start)).toBe(0);
  });

  test('an event nobody recorded is complete and holds nothing up', async () => {
    using event = cpu.createEvent();
    expect(event.isComplete).toBe(true);
    cpu.defaultStream.wait(event);
    await cpu.defaultStream.synchronize();
  });

  test('use after dispose', async () => {
    const stream = cpu.createStream();
    const x = busy(stream);
    const event = stream.record();
    stream.dispose();
    stream.dispose();
    event.dispose();
    await expectError(() => stream.synchronize(), { code: 'E_DISPOSED', field: 'stream' });
    await expectError(() => stream.record(), { code: 'E_DISPOSED', field: 'stream' });
    await expectError(() => linear(x, x, { stream }), { code: 'E_DISPOSED', field: 'stream' });
    await expectError(() => event.isComplete, { code: 'E_DISPOSED', field: 'event' });
    // What was queued before still runs, and can be read.
    expect((await x.read()).every(Number.isFinite)).toBe(true);
  });

  test('the default stream is opened again', async () => {
    const other = device({ threads: 1 });
    const first = other.defaultStream;
    expect(other.defaultStream).toBe(first);
    first.dispose();
    expect(other.defaultStream).not.toBe(first);
    await other.defaultStream.synchronize();
  });

  test('bad arguments', async () => {
    await expectError(() => cpu.defaultStream.wait({} as never), {
      code: 'E_INVALID_ARGUMENT',
      field: 'event',
    });
    await expectError(() => linear(Tensor.zeros([1, 1]), Tensor.zeros([1, 1]), { stream: {} as never }), {
      code: 'E_INVALID_ARGUMENT',
      field: 'stream',
    });
  });

  test('the event loop turns while ops run', async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const x = busy();
    const y = busy();
    await Promise.all([x.read(), y.read()]);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(0);
  });
});

function identity(size: number): Float32Array {
  return Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
}
