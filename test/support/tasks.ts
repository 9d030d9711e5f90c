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

/** Puts the complete model directory of a fixture at `target`: its own files and, if it has none, the tokenizer; gives its cases. */
export function makeTask<Case>(name: string, target: string): Case[] {
  const folder = join(goldens, 'tasks', name);
  const { base, cases } = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as {
    base: string;
    cases: Case[];
  };
  const checkpoint = join(goldens, 'models', base, 'checkpoint');
  cpSync(join(checkpoint, 'tokenizer.json'), join(target, 'tokenizer.json'));
  cpSync(folder, target, { recursive: true });
  const config = JSON.parse(readFileSync(join(checkpoint, 'tokenizer_config.json'), 'utf8')) as object;
  writeFileSync(
    join(target, 'tokenizer_config.json'),
    JSON.stringify({ ...config, model_max_length: MAX_LENGTH }),
  );
  return cases;
}

/** Makes fresh copies of fixtures below `scratch`, to spoil. */
export function taskCopies(scratch: string): (name: string) => string {
  let folders = 0;
  return (name) => {
    const target = join(scratch, `copy-${folders++}`);
    makeTask(name, target);
    return target;
  };
}

/** Changes a file that holds a JSON object. */
export function editJson(path: string, edit: (values: Record<string, unknown>) => void): void {
  const values = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  edit(values);
  writeFileSync(path, JSON.stringify(values));
}
