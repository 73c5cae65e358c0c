/** Runs shellcheck over every shell script that is shipped or used: found by its first line. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './sources.mjs';

function* scriptsBelow(path) {
  const full = join(ROOT, path);
  if (!existsSync(full)) return;
  if (statSync(full).isDirectory()) {
    for (const name of readdirSync(full).sort()) yield* scriptsBelow(join(path, name));
    return;
  }
  const firstLine = readFileSync(full, 'latin1').slice(0, 80).split('\n', 1)[0];
  if (/^#!.*\b(sh|bash)\b/.test(firstLine)) yield path;
}

const scripts = ['hooks', 'etc', 'test/fixtures', '.ci/run'].flatMap((path) => [...scriptsBelow(path)]);
const check = spawnSync('shellcheck', ['--external-sources', '--source-path=SCRIPTDIR', ...scripts], {
  cwd: ROOT,
  stdio: 'inherit',
});
if (check.error?.code === 'ENOENT') {
  console.error('shell-check: shellcheck is not installed (Debian: apt-get install shellcheck)');
  process.exitCode = process.env.CI === 'true' ? 1 : 0;
} else if (check.status !== 0) {
  process.exitCode = 1;
} else {
  console.log(`shell-check: ${scripts.length} scripts are clean`);
}
