// Ids of difficult strings, as the Rust tokenizers library gives them: test/goldens/tokenizer_strings.json.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ModelDirectory } from '../../ts/models/directory';
import { Tokenizer } from '../../ts/tokenizer/tokenizer';

interface Case {
  text: string;
  pair?: string;
  maxLength?: number;
  ids: Record<string, number[]>;
}

const goldens = join(__dirname, '../goldens');
const cases = JSON.parse(readFileSync(join(goldens, 'tokenizer_strings.json'), 'utf8')) as Case[];
const limits = [...new Set(cases.map((item) => item.maxLength))];

describe.each(['bert', 'roberta', 'xlm-roberta', 'camembert'])('%s', (name) => {
  test.each(limits)('texts and pairs, limit %s', async (maxLength) => {
    const directory = await ModelDirectory.open(join(goldens, 'models', name, 'checkpoint'));
    const tokenizer = await Tokenizer.load(directory, { maxLength: maxLength ?? 1_000_000 });
    try {
      // Without a limit of the case's own, the checkpoint's still holds.
      const chosen = cases.filter(
        (item) => item.maxLength === maxLength && item.ids[name]!.length <= tokenizer.maxLength,
      );
      expect(chosen.length).toBeGreaterThan(0);
      const wrong: unknown[] = [];
      for (const paired of [false, true]) {
        const part = chosen.filter((item) => (item.pair !== undefined) === paired);
        if (part.length === 0) continue;
        const texts = part.map(({ text }) => text);
        const { ids, lengths } = await tokenizer.encode(
          texts,
          paired ? { pairs: part.map(({ pair }) => pair!) } : {},
        );
        let begin = 0;
        part.forEach((item, i) => {
          const actual = [...ids.subarray(begin, (begin += lengths[i]!))];
          if (actual.join() !== item.ids[name]!.join()) {
            wrong.push({ text: item.text, pair: item.pair, actual, expected: item.ids[name] });
          }
        });
      }
      expect(wrong).toEqual([]);
    } finally {
      await tokenizer.dispose();
    }
  });
});
