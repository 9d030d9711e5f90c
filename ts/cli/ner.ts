import type { Aggregation } from '../tasks/entities';
import { TokenClassifier } from '../tasks/token_classifier';
import { callOptions, headLoadOptions, printJson, type HeadFlags } from './head_flags';
import { clip, table } from './table';
import { readTexts } from './texts';

interface NerFlags extends HeadFlags {
  aggregation: Aggregation;
  stride?: number;
}

/** `padless ner`: the entities of each text. */
export async function ner(words: string[], flags: NerFlags, signal: AbortSignal): Promise<void> {
  const { aggregation, stride } = flags;
  const texts = await readTexts(words, flags.file);
  await using classifier = await TokenClassifier.load(flags.model, headLoadOptions(flags, signal));
  const results = await classifier.classify(texts, {
    ...callOptions(flags, signal),
    aggregation,
    ...(stride !== undefined && { stride }),
  });
  if (flags.json) {
    printJson(results.map((entities, i) => ({ text: texts[i], entities })));
    return;
  }
  const rows = results.flatMap((entities, i) =>
    entities.map(({ text, label, score, start, end }) => [
      `${i + 1}`,
      clip(text, 48),
      label,
      score.toFixed(4),
      `${start}-${end}`,
    ]),
  );
  process.stdout.write(table([['text', 'entity', 'label', 'score', 'offsets'], ...rows]));
}
