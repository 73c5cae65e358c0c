/**
 * Makes one file of each program from what the compiler wrote to build: it starts in half the time that it
 * takes to load some hundred modules. Each lies in dist where the compiler would have put its main module.
 */
import { build } from 'esbuild';
import { chmodSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { ROOT } from './sources.mjs';

const COMMANDS = ['src/cli/main.js', 'src/daemon/main.js'];
export const PROGRAMS = [...COMMANDS, 'src/daemon/engine/worker.js', 'src/keeper/main.js'];

/** Addons are optional, so they are looked for when the program runs. */
const NATIVE = ['@ronomon/direct-io', 'koffi', 'raw-socket'];
/** For the packages that are CommonJS. */
const REQUIRE =
  "import { createRequire as hastateRequire } from 'node:module'; const require = hastateRequire(import.meta.url);";

/** A module that finds files by its own place finds the same ones from within the program. */
function atItsPlace(program) {
  const place = dirname(join(ROOT, 'build', program));
  const setup = ({ onLoad }) =>
    onLoad({ filter: /\/build\/(src|machines)\/.*\.js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const own = `new URL(${JSON.stringify(relative(place, path))}, import.meta.url).href`;
      return { contents: text.replaceAll('import.meta.url', own), loader: 'js' };
    });
  return { name: 'at-its-place', setup };
}

/** Throws when a program cannot be made; esbuild has printed why. */
export async function bundle() {
  for (const program of PROGRAMS) {
    await build({
      entryPoints: [join(ROOT, 'build', program)],
      outfile: join(ROOT, 'dist', program),
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      external: NATIVE,
      banner: { js: REQUIRE },
      plugins: [atItsPlace(program)],
      tsconfigRaw: {},
      logLevel: 'warning',
    });
  }
  for (const command of COMMANDS) chmodSync(join(ROOT, 'dist', command), 0o755);
}
