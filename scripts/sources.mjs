/** What a build is made from, as one hash, so that nothing is built twice. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

const SOURCES = [
  'machines',
  'src',
  'scripts/build.mjs',
  'scripts/build-page.mjs',
  'scripts/bundle.mjs',
  'tsconfig.json',
  'tsconfig.build.json',
  'package.json',
  'package-lock.json',
];
const STAMP = join(ROOT, 'dist', '.source-hash');

/** Every file below `path`, relative to the checkout, in a stable order. */
function* filesBelow(path) {
  const full = join(ROOT, path);
  if (!existsSync(full)) return;
  if (!statSync(full).isDirectory()) {
    yield path;
    return;
  }
  for (const name of readdirSync(full).sort()) yield* filesBelow(join(path, name));
}

export function sourceHash() {
  const hash = createHash('sha256');
  for (const source of SOURCES) {
    for (const file of filesBelow(source)) {
      const content = readFileSync(join(ROOT, file));
      hash.update(`${file}\0${content.length}\0`).update(content);
    }
  }
  return hash.digest('hex');
}

/** The hash that the present build was made from, or null. */
export function builtHash() {
  return existsSync(STAMP) ? readFileSync(STAMP, 'utf8').trim() : null;
}

export { STAMP };
