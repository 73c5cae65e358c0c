import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const PACKAGES = '/usr/lib/postgresql';

/** Directory of the newest version's programs, or null when it is not installed. */
export function postgresBin(): string | null {
  try {
    const [newest] = readdirSync(PACKAGES).sort((a, b) => Number(b) - Number(a));
    return newest === undefined ? null : join(PACKAGES, newest, 'bin');
  } catch {
    return null;
  }
}
