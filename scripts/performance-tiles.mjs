// The part of docs/performance.md on loops of tile products.
import { percent } from '../bench/cpu/view.mjs';
import { table } from './markdown.mjs';

/** Of the newest results of `npm run bench:tiles`; nothing without any. */
export function tilesSection(file) {
  if (!file) return '';
  const { name, data } = file;
  const int8 = new Map(data.int8.loops.map((loop) => [loop.name, loop.fractionOfRoof]));
  return `### What tiles reach

\`npm run bench:tiles\`: shares of the roof that loops of tile products (AMX) reach, each with one thing more than the one above. A round is a panel of 32 columns for 384 rows of 768 bytes; from "bias" on the loop is the engine's kernel. ${data.machine.cpu}, ${data.threads} threads, commit ${data.commit.slice(0, 7)}. From [${name}](../bench/results/${name}).

${table(
  ['Loop', `bf16 (${data.bf16.instruction})`, `int8 (${data.int8.instruction})`],
  data.bf16.loops.map((loop) => [loop.name, percent(loop.fractionOfRoof), percent(int8.get(loop.name))]),
)}`;
}
