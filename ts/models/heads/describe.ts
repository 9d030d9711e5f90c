import type { PadlessError } from '../../errors';
import type { HeadDescription } from './describe_head';
import type { TaskHead, TaskHeadStep } from './task_head';

function stepWords(step: TaskHeadStep): string {
  if (step.kind !== 'dense') return step.kind;
  const activation = step.activation === 'none' ? '' : ` ${step.activation}`;
  return `dense ${step.inFeatures} to ${step.outFeatures}${activation}`;
}

function sourceWords({ from, mean }: TaskHead): string {
  if (from === 'tokens') return mean ? 'every token, then their mean' : 'every token';
  return { cls: 'the first token', mean: 'the mean of the tokens', lasttoken: 'the last token' }[from];
}

/** A head in a few plain values, for people; why there is none that can be run. */
export function headFacts(head: HeadDescription | Error | undefined): Record<string, unknown> {
  if (!head) return { head: null };
  if (head instanceof Error) return { head: `not supported: ${(head as PadlessError).message}` };
  const { task, width, steps, labels, problemType } = head.head;
  return {
    head: task,
    logits: `${head.head.perToken ? 'T' : 'B'} x ${width}`,
    headReads: sourceWords(head.head),
    headSteps: steps.map(stepWords).join(', '),
    ...(labels && { labels }),
    ...(problemType && { problemType }),
  };
}
