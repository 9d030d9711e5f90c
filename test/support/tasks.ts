// The fixtures of test/goldens/tasks: see the README there.
import { cpSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** As the generator has it. */
const MAX_LENGTH = 96;

const goldens = join(__dirname, '../goldens');

/** Names of the fixtures that begin with `prefix`. */
export function taskNames(prefix: string): string[] {
  return readdirSync(join(goldens, 'tasks')).filter((name) => name.startsWith(prefix));
}

/** Puts the complete model directory of a fixture at `target`: its own files and the tokenizer; gives its cases. */
export function makeTask<Case>(name: string, target: string): Case[] {
  const folder = join(goldens, 'tasks', name);
  const { base, cases } = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as {
    base: string;
    cases: Case[];
  };
  cpSync(folder, target, { recursive: true });
  const checkpoint = join(goldens, 'models', base, 'checkpoint');
  cpSync(join(checkpoint, 'tokenizer.json'), join(target, 'tokenizer.json'));
  const config = JSON.parse(readFileSync(join(checkpoint, 'tokenizer_config.json'), 'utf8')) as object;
  writeFileSync(
    join(target, 'tokenizer_config.json'),
    JSON.stringify({ ...config, model_max_length: MAX_LENGTH }),
  );
  return cases;
}
