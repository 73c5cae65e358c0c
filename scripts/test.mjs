/**
 * Runs the tests and says, by name, which suites were skipped and what they need.
 * Arguments go to vitest. With CI=true a skipped suite is a failure.
 * The last line is `N passed, N failed`; HASTATE_TEST_SUMMARY names a file that gets it too.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './sources.mjs';

/** Reads `suite\tmissing` lines, each once. */
function readSkips(file) {
  if (!existsSync(file)) return [];
  return [...new Set(readFileSync(file, 'utf8').split('\n').filter(Boolean))].sort();
}

/** Numbers of vitest's own report; a file that could not be loaded is one failure. */
function readCounts(file) {
  if (!existsSync(file)) return { passed: 0, failed: 1, skipped: 0 };
  const report = JSON.parse(readFileSync(file, 'utf8'));
  const broken = report.testResults.filter(
    (suite) => suite.status === 'failed' && !suite.assertionResults.some(({ status }) => status === 'failed'),
  ).length;
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/**
 * Words before a program: a mount namespace of its own, in which what a suite unmounts vanishes from the network
 * namespaces of the others as well. They mount /sys for themselves, and where / is private their copies of a mount
 * would hold its device for as long as they last.
 */
function ownMounts() {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return [];
  const words = ['unshare', '--mount', '--propagation', 'slave', '--'];
  const share = ['sh', '-c', 'mount --make-rshared / && exec "$@"', 'sh'];
  const works = spawnSync(words[0], [...words.slice(1), ...share, 'true']).status === 0;
  return works ? [...words, ...share] : [];
}

function runVitest(directory, args) {
  const [program, ...words] = [...ownMounts(), process.execPath];
  const vitest = spawn(
    program,
    [
      ...words,
      join(ROOT, 'node_modules/vitest/vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${join(directory, 'report.json')}`,
      ...args,
    ],
    { cwd: ROOT, stdio: 'inherit', env: { ...process.env, HASTATE_SKIPS: join(directory, 'skips') } },
  );
  const pass = (signal) => vitest.kill(signal);
  process.on('SIGINT', pass).on('SIGTERM', pass);
  return new Promise((resolve, reject) => {
    vitest.on('error', reject);
    vitest.on('exit', (code) => resolve(code ?? 1));
  });
}

const directory = mkdtempSync(join(tmpdir(), 'hastate-test-'));
try {
  const code = await runVitest(directory, process.argv.slice(2));
  const skips = readSkips(join(directory, 'skips'));
  const counts = readCounts(join(directory, 'report.json'));
  if (skips.length > 0) {
    console.log('Skipped suites:');
    for (const skip of skips) console.log(`  ${skip.replace('\t', ': needs ')}`);
    if (process.env.CI === 'true') console.log('With CI=true a skipped suite is a failure.');
  }
  if (counts.skipped > 0) console.log(`${counts.skipped} skipped`);
  const line = `${counts.passed} passed, ${counts.failed} failed`;
  console.log(line);
  if (process.env.HASTATE_TEST_SUMMARY) writeFileSync(process.env.HASTATE_TEST_SUMMARY, `${line}\n`);
  const skipsFail = process.env.CI === 'true' && (skips.length > 0 || counts.skipped > 0);
  process.exitCode = code !== 0 || counts.failed > 0 || skipsFail ? 1 : 0;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
