// Builds the addon of the emulator, or brings it up to date.
const { spawnSync } = require('node:child_process');
const { join } = require('node:path');

module.exports = function buildEmulator() {
  const root = join(__dirname, '../..');
  const script = join(root, 'scripts/build.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, '--emulator'], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`The addon of the emulator was not built:\n${stdout}${stderr}`);
};
