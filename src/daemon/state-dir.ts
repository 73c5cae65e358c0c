/** Where the daemon keeps its state. */
import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** DESIGN: by system for root, by user else. `--state-dir` overrides. */
export function defaultStateDir(): string {
  if (process.getuid?.() === 0)
    return process.platform === 'freebsd' ? '/var/db/hastate' : '/var/lib/hastate';
  return join(process.env['XDG_STATE_HOME'] ?? join(homedir(), '.local', 'state'), 'hastate');
}

/** Made private: sockets and journals are nobody else's business. */
export async function prepareStateDir(stateDir: string): Promise<void> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
}
