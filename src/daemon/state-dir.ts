/** Where the daemon keeps its state. */
import { access, constants, mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { systemText } from '../config/files.ts';
import { MAX_SOCKET_PATH_BYTES } from '../device/nbd-server.ts';
import { ConfigError } from '../model/errors.ts';
import { exportSocket } from './engine/exporter.ts';

/** DESIGN: by system for root, by user else. `--state-dir` overrides. */
export function defaultStateDir(): string {
  if (process.getuid?.() === 0)
    return process.platform === 'freebsd' ? '/var/db/hastate' : '/var/lib/hastate';
  return join(process.env['XDG_STATE_HOME'] ?? join(homedir(), '.local', 'state'), 'hastate');
}

/**
 * Made private: sockets and journals are nobody else's business.
 * @throws ConfigError `config-state-dir` when the export of a resource would have too long a path:
 *   found now and not at the first promotion; `cannot-create`
 */
export async function prepareStateDir(
  stateDir: string,
  resources: readonly { readonly name: string }[],
): Promise<void> {
  for (const { name } of resources) {
    const socket = exportSocket(stateDir, name);
    const bytes = Buffer.byteLength(socket);
    if (bytes <= MAX_SOCKET_PATH_BYTES) continue;
    throw new ConfigError(
      'config-state-dir',
      `resource ${name} could not be exported on ${socket}: the path has ${bytes} bytes and a unix socket ` +
        `takes ${MAX_SOCKET_PATH_BYTES}; choose a shorter --state-dir`,
    );
  }
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    await access(stateDir, constants.W_OK);
  } catch (cause) {
    throw new ConfigError(
      'cannot-create',
      `the state directory ${stateDir} cannot be used: ${systemText(cause)}; name another one with --state-dir`,
      { cause },
    );
  }
}
