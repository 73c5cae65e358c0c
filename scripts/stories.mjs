/** `npm run test:e2e`: the stories in their long form, then what they took as a table. Arguments go to vitest. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './sources.mjs';

const STORIES = ['test/e2e/story-', 'test/e2e/rules-off'];

function run(file, args) {
  const test = spawn(process.execPath, [join(ROOT, 'scripts/test.mjs'), ...args], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, HASTATE_STORIES: file },
  });
  const pass = (signal) => test.kill(signal);
  process.on('SIGINT', pass).on('SIGTERM', pass);
  return new Promise((resolve, reject) => {
    test.on('error', reject);
    test.on('exit', (code) => resolve(code ?? 1));
  });
}

function figures(file) {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

function row({ story, what, value, unit = 'ms', goal, beside = '' }) {
  const shown = (number) => `${Math.round(number)}${unit === '' ? '' : ` ${unit}`}`;
  const judged = goal === undefined ? '' : `<= ${shown(goal)}: ${value <= goal ? 'met' : 'missed'}`;
  return [story, what, shown(value), judged, beside];
}

function printTable(rows) {
  const all = [['story', 'what', 'value', 'goal', 'beside'], ...rows];
  const widths = all[0].map((_, column) => Math.max(...all.map((cells) => cells[column].length)));
  console.log('');
  for (const cells of all)
    console.log(`  ${cells.map((cell, column) => cell.padEnd(widths[column])).join('  ')}`.trimEnd());
}

const load = () => loadavg()[0].toFixed(1);
const directory = mkdtempSync(join(tmpdir(), 'hastate-stories-'));
try {
  const file = join(directory, 'figures');
  const before = load();
  const args = process.argv.slice(2);
  process.exitCode = await run(file, args.length > 0 ? args : STORIES);
  const rows = figures(file).map(row);
  if (rows.length > 0) printTable(rows);
  console.log(`\n  ${cpus().length} processors, load ${before} before and ${load()} after`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
