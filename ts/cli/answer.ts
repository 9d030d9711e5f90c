import { PadlessError } from '../errors';
import { QuestionAnswerer } from '../tasks/question_answerer';
import { callOptions, headLoadOptions, printJson, type HeadFlags } from './head_flags';
import { clip, table } from './table';
import { readWhole } from './texts';

interface AnswerFlags extends HeadFlags {
  topK: number;
  nullAnswer?: boolean;
  maxAnswerTokens?: number;
  stride?: number;
}

/** `padless answer`: the answer to a question in a text. */
export async function answer(
  question: string,
  words: string[],
  flags: AnswerFlags,
  signal: AbortSignal,
): Promise<void> {
  const { topK, nullAnswer = false, maxAnswerTokens, stride } = flags;
  const parts = flags.file === undefined ? words : [...words, await readWhole(flags.file)];
  const context = parts.join(' ');
  if (context.trim() === '') {
    throw new PadlessError('E_INVALID_ARGUMENT', 'There is no context: give a text, or --file.', {
      field: 'context',
    });
  }
  await using answerer = await QuestionAnswerer.load(flags.model, headLoadOptions(flags, signal));
  const [answers] = await answerer.answer(
    { question, context },
    {
      ...callOptions(flags, signal),
      topK,
      nullAnswer,
      ...(maxAnswerTokens !== undefined && { maxAnswerTokens }),
      ...(stride !== undefined && { stride }),
    },
  );
  if (flags.json) {
    printJson(answers!);
    return;
  }
  const rows = answers!.map(({ answer: text, score, start, end }) => [
    text === '' ? '(no answer)' : clip(text, 60),
    score.toFixed(4),
    `${start}-${end}`,
  ]);
  process.stdout.write(table([['answer', 'score', 'offsets'], ...rows]));
}
