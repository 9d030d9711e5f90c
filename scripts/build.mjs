#!/usr/bin/env node
// Builds what a clone needs: the CPU addon (cmake-js where cmake exists, otherwise node-gyp) and dist/.
//   node scripts/build.mjs [--native | --ts | --emulator]     PADLESS_BUILD=cmake|gyp forces one
// PADLESS_CUDA=auto|all|off: CUDA for the GPU of this machine if there is one, for every GPU, or not at all.
// --emulator: the addon of the tests, build/Release/padless_emulator.node.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync, chmodSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);
const jobs = String(availableParallelism());

function run(what, script, args) {
  const { status, signal, error } = spawnSync(process.execPath, [script, ...args], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status === 0) return;
  console.error(`\npadless: ${what} failed (${error?.message ?? signal ?? `exit ${status}`}).`);
  process.exit(1);
}

/** The file behind a package's command, from its own manifest. */
function bin(name, command = name) {
  const manifest = require.resolve(`${name}/package.json`);
  const { bin: commands } = JSON.parse(readFileSync(manifest, 'utf8'));
  return join(dirname(manifest), typeof commands === 'string' ? commands : commands[command]);
}

function hasCmake() {
  return spawnSync('cmake', ['--version'], { stdio: 'ignore' }).status === 0;
}

/** Headers that Node brought along save node-gyp a download. */
function localHeaders() {
  const prefix = join(dirname(process.execPath), '..');
  return existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : [];
}

function buildWithCmake(...target) {
  run('the native build', bin('cmake-js'), ['build', '--parallel', jobs, ...target]);
}

function buildNative() {
  const builder = process.env.PADLESS_BUILD ?? (hasCmake() ? 'cmake' : 'gyp');
  if (builder === 'cmake') buildWithCmake();
  else if (builder === 'gyp')
    run('the native build', bin('node-gyp'), ['rebuild', '--jobs', jobs, ...localHeaders()]);
  else {
    console.error(`padless: PADLESS_BUILD must be "cmake" or "gyp", not "${builder}".`);
    process.exit(1);
  }
}

/** The ES module entry re-exports the CommonJS one by name: one copy of every class, whoever loads it. */
function writeModuleEntry() {
  const names = Object.keys(require(join(root, 'dist/index.js'))).sort();
  const list = names.map((name) => `  ${name},\n`).join('');
  writeFileSync(
    join(root, 'dist/index.mjs'),
    `import padless from './index.js';\n\nexport const {\n${list}} = padless;\n`,
  );
  writeFileSync(join(root, 'dist/index.d.mts'), "export * from './index.js';\n");
}

function buildTypeScript() {
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  run('the TypeScript build', bin('typescript', 'tsc'), ['-p', 'tsconfig.json']);
  writeModuleEntry();
  const cli = join(root, 'dist/cli/main.js');
  if (existsSync(cli)) chmodSync(cli, 0o755);
}

const only = process.argv[2];
if (only === '--emulator') {
  buildWithCmake('--target', 'padless_emulator');
} else {
  if (only !== '--ts') buildNative();
  if (only !== '--native') buildTypeScript();
}
