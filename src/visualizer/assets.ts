/** The built page, read once. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Asset {
  readonly type: string;
  readonly body: Buffer;
}

export interface Assets {
  readonly directory: string;
  /** By URL path; null when the page was not built. */
  readonly page: ReadonlyMap<string, Asset> | null;
}

const FILES: readonly (readonly [path: string, file: string, type: string])[] = [
  ['/', 'index.html', 'text/html'],
  ['/page.js', 'page.js', 'text/javascript'],
  ['/page.css', 'page.css', 'text/css'],
  ['/api/layouts', 'layouts.json', 'application/json'],
];

/** @param directory where to look; by default where the build puts it, beside this module */
export async function loadAssets(directory = fileURLToPath(new URL('.', import.meta.url))): Promise<Assets> {
  try {
    const entries = await Promise.all(
      FILES.map(async ([path, file, type]): Promise<[string, Asset]> => [
        path,
        { type, body: await readFile(join(directory, file)) },
      ]),
    );
    return { directory, page: new Map(entries) };
  } catch {
    return { directory, page: null };
  }
}
