// Peak memory of a loaded model and the time to its first result, each in a process of its own.
import { runQuietly } from './processes.mjs';
import { median } from './statistics.mjs';

const PROCESSES = 3;

/** Medians over a few processes; the first of them has put the file into the page cache. */
export async function measureMemory(folder, dtype, { threads, isa }) {
  const probe = new URL('memory_probe.mjs', import.meta.url).pathname;
  const answers = [];
  for (let i = 0; i <= PROCESSES; i++) {
    const { status, output, errors } = await runQuietly(process.execPath, [
      probe,
      folder,
      dtype,
      String(threads),
      isa,
    ]);
    if (status !== 0) throw new Error(`memory_probe.mjs: ${errors}`);
    if (i > 0) answers.push(JSON.parse(output));
  }
  return Object.fromEntries(
    Object.keys(answers[0]).map((key) => [key, median(answers.map((one) => one[key]))]),
  );
}
