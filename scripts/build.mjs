/**
 * Compiles to build (incremental), bundles the programs from there to dist, then makes the page. Stores
 * the hash of what it was built from, which is how prepare.mjs knows that nothing is to be done.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bundle, PROGRAMS } from './bundle.mjs';
import { ROOT, STAMP, sourceHash } from './sources.mjs';

/** Throws when the compiler or the page build fails; both have printed why. */
export async function build() {
  const started = performance.now();
  const hash = sourceHash();
  rmSync(STAMP, { force: true });
  // The incremental state says "nothing to emit" even when what it emitted was deleted.
  if (!PROGRAMS.every((path) => existsSync(join(ROOT, 'build', path)))) {
    rmSync(join(ROOT, 'build/.tsbuildinfo'), { force: true });
  }
  const tsc = spawnSync(
    process.execPath,
    [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'],
    { cwd: ROOT, stdio: 'inherit' },
  );
  if (tsc.status !== 0) throw new Error('the TypeScript compiler found errors (above)');
  rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
  await bundle();
  const page = join(ROOT, 'scripts/build-page.mjs');
  if (existsSync(page)) {
    const { buildPage } = await import(pathToFileURL(page).href);
    await buildPage();
  }
  writeFileSync(STAMP, `${hash}\n`);
  console.log(`hastate: built in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

if (process.argv[1] === import.meta.filename) {
  try {
    await build();
  } catch (error) {
    console.error(`hastate: build failed: ${error.message}`);
    process.exitCode = 1;
  }
}
