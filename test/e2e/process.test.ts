// What only a process of its own shows: exits, workers, memory over many rounds.
// The children run the built package.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const checkpoint = join(root, 'test/goldens/models/bert/checkpoint');

function run(script: string, flags: string[] = []): string {
  const program = `const { Embedder, Encoder, PackedBatch, device } = require(${JSON.stringify(join(root, 'dist/index.js'))});
    const checkpoint = ${JSON.stringify(checkpoint)};
    (async () => { ${script} })().catch((error) => { console.error(error); process.exitCode = 1; });`;
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, [...flags, '-e', program], {
    encoding: 'utf8',
    timeout: 170_000,
  });
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  return stdout.trim();
}

test('the process exits by itself, disposed or not', () => {
  for (const end of ['embedder.dispose();', '']) {
    expect(
      run(`const embedder = await Embedder.load(checkpoint, { pooling: 'mean' });
           console.log((await embedder.embed(['a', 'b'])).length); ${end}`),
    ).toBe('2');
  }
});

test('a second load of the same directory shares the weights', () => {
  const [one, two] = JSON.parse(
    run(`const first = await Encoder.load(checkpoint);
      const one = device('cpu').memoryInfo().allocated;
      const second = await Encoder.load(checkpoint);
      console.log(JSON.stringify([one, device('cpu').memoryInfo().allocated]));
      first.dispose(); second.dispose();`),
  ) as [number, number];
  expect(one).toBeGreaterThan(400_000);
  expect(two).toBe(one);
});

test('workers load, run and exit; one is terminated in the middle of its work', () => {
  expect(
    run(`const { Worker } = require('node:worker_threads');
      const body = (texts) => \`
        const { Embedder } = require(\${JSON.stringify(${JSON.stringify(join(root, 'dist/index.js'))})});
        (async () => {
          const embedder = await Embedder.load(\${JSON.stringify(checkpoint)}, { pooling: 'mean' });
          const work = embedder.embed(Array.from({ length: \${texts} }, (_, i) => 'text number ' + i + ' of many words '.repeat(8)));
          require('node:worker_threads').parentPort.postMessage('running');
          require('node:worker_threads').parentPort.postMessage((await work).length);
          embedder.dispose();
        })();\`;
      const finish = (worker) => new Promise((resolve, reject) => { worker.on('exit', resolve); worker.on('error', reject); });
      const messages = [];
      const workers = [1, 2].map(() => new Worker(body(20), { eval: true }));
      for (const worker of workers) worker.on('message', (message) => messages.push(message));
      const codes = await Promise.all(workers.map(finish));
      const doomed = new Worker(body(20000), { eval: true });
      doomed.once('message', () => setTimeout(() => doomed.terminate(), 20));
      await finish(doomed);
      console.log(JSON.stringify([codes, messages.filter((message) => message === 20).length]));`),
  ).toBe('[[0,0],2]');
});

// The median of three windows: what the allocator or the collector gives back late makes one grow and the next shrink.
test('200 rounds of load, embed and dispose do not grow the memory', () => {
  const grown = JSON.parse(
    run(
      `const round = async () => {
         const embedder = await Embedder.load(checkpoint, { pooling: 'mean' });
         await embedder.embed(['one text', 'another text of more words']);
         await embedder[Symbol.asyncDispose]();
       };
       const settle = async () => { for (let i = 0; i < 5; i++) { global.gc(); await new Promise((r) => setTimeout(r, 20)); } };
       for (let i = 0; i < 60; i++) await round();
       await settle();
       const grown = [];
       for (let window = 0; window < 3; window++) {
         const before = process.memoryUsage.rss();
         for (let i = 0; i < 200; i++) await round();
         await settle();
         grown.push(process.memoryUsage.rss() - before);
       }
       console.log(JSON.stringify(grown.sort((a, b) => a - b)));`,
      // Else the young generation grows by 16 MB at some time.
      ['--expose-gc', '--max-semi-space-size=1'],
    ),
  ) as number[];
  // A leak of one checkpoint's 0.4 MB a round would be 80 MB.
  expect(grown[1]).toBeLessThan(8 * 2 ** 20);
}, 180_000);

test('many calls at once, and many with one signal, warn of no leak', () => {
  expect(
    run(`const embedder = await Embedder.load(checkpoint, { pooling: 'mean' });
      const { signal } = new AbortController();
      const calls = Array.from({ length: 40 }, (_, i) => embedder.embed('text ' + i, i % 2 ? { signal } : {}));
      console.log((await Promise.all(calls)).length);
      await embedder[Symbol.asyncDispose]();`),
  ).toBe('40');
});
