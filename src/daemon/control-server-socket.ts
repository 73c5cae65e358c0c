/** The control socket's file: nobody else's, private from the first moment, never a live daemon's. */
import { lstat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Server } from 'node:net';
import { NetError } from '../model/errors.ts';

const PROBE_MS = 2000;
/** What fits into sun_path with its end. */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

/**
 * Makes `server` listen on a unix socket of mode 0600, in place of one that a dead daemon left.
 * @throws NetError `control-path-too-long`, `control-path-taken` (a file that is no socket),
 *   `control-in-use` (a daemon answers there), `control-listen`
 */
export async function listenPrivately(server: Server, path: string): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH_BYTES) {
    const message = `control socket ${path} has a path of ${bytes} bytes and only ${MAX_PATH_BYTES} fit; choose a shorter one with 'control' in hast.conf`;
    throw new NetError('control-path-too-long', message);
  }
  await removeStale(path);
  await new Promise<void>((resolve, reject) => {
    const failed = (cause: Error): void => {
      const message = `cannot listen on control socket ${path}: ${cause.message}; make its directory and see that it is writable`;
      reject(new NetError('control-listen', message, { cause }));
    };
    server.once('error', failed);
    // The socket file is made inside listen(), so that nobody can connect before its mode is right.
    const umask = process.umask(0o177);
    try {
      server.listen({ path }, () => {
        server.off('error', failed);
        resolve();
      });
    } finally {
      process.umask(umask);
    }
  });
}

async function removeStale(path: string): Promise<void> {
  try {
    const info = await lstat(path);
    if (!info.isSocket()) {
      const message = `${path} is there and is no socket; remove it, or choose another 'control' in hast.conf`;
      throw new NetError('control-path-taken', message);
    }
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    throw error;
  }
  if (await answers(path)) {
    const message = `a daemon already answers on control socket ${path}; stop it, or choose another 'control' in hast.conf`;
    throw new NetError('control-in-use', message);
  }
  await unlink(path).catch((error: unknown) => {
    if (!hasCode(error, 'ENOENT')) throw error;
  });
}

/** Whether somebody listens there. Only a refusal is a proof that nobody does. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.setTimeout(PROBE_MS, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      resolve(!hasCode(error, 'ECONNREFUSED') && !hasCode(error, 'ENOENT'));
    });
  });
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
