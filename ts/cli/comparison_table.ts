import type { Comparison } from '../demo/comparison';
import { table } from './table';

const percent = (share: number) => `${(100 * share).toFixed(0)}%`;

/** Tokens and times of the three strategies, and what packing saves. */
export function comparisonTable(comparison: Comparison, batchSize: number): string {
  const { padded, sorted, packed } = comparison;
  const row = (name: string, { tokens, fill, milliseconds }: Comparison['packed']) => [
    name,
    tokens,
    percent(fill),
    milliseconds.toFixed(1),
    `${(padded.milliseconds / milliseconds).toFixed(2)}x`,
  ];
  return [
    table([
      [`batches of ${batchSize}`, 'tokens', 'text', 'ms', 'speed'],
      row('padded to the longest', padded),
      row('sorted, then padded', sorted),
      row('packed', packed),
    ]),
    `${padded.tokens - packed.tokens} of ${padded.tokens} tokens would have been padding (${percent(1 - padded.fill)}).`,
    'Times: median of rounds that alternate between the three, one engine, this machine.\n',
  ].join('\n');
}
