/**
 * Reference addresses: they tell "I am cut off" from "the peer is dead". Hints only (SAFETY B8).
 * `host` is pinged, `host:port` is connected to; a refused connection counts as an answer. Where no
 * ping is installed, a host is connected to as well.
 */
import { connect } from 'node:net';

import { execa } from 'execa';

const PROBE_MS = 1000;
/** TCP echo: hardly anybody serves it, nearly everybody refuses it. */
const ECHO_PORT = 7;

/** Asks one, for about a second or until `signal`. */
export async function referenceAnswers(reference: string, signal: AbortSignal): Promise<boolean> {
  const match = /^(?<host>\[.+\]|[^:]+):(?<port>\d+)$/.exec(reference);
  const host = match?.groups?.['host']?.replace(/^\[|\]$/g, '');
  const port = match?.groups?.['port'];
  if (host !== undefined && port !== undefined) return connects(host, Number(port), signal);
  const result = await execa('ping', ['-c', '1', '-W', '1', reference], {
    reject: false,
    timeout: 2 * PROBE_MS,
    cancelSignal: signal,
    stdio: 'ignore',
  });
  if (result.code === 'ENOENT') return connects(reference, ECHO_PORT, signal);
  return result.exitCode === 0;
}

function connects(host: string, port: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (answered: boolean): void => {
      socket.destroy();
      resolve(answered);
    };
    socket.setTimeout(PROBE_MS, () => {
      end(false);
    });
    socket.once('connect', () => {
      end(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      end(error.code === 'ECONNREFUSED');
    });
    signal.addEventListener(
      'abort',
      () => {
        end(false);
      },
      { once: true },
    );
  });
}

/** Asks all references at once. @returns how many answered within about a second */
export async function countReachable(references: readonly string[], signal: AbortSignal): Promise<number> {
  const answered = await Promise.all(
    references.map((reference) => referenceAnswers(reference, signal).catch(() => false)),
  );
  return answered.filter(Boolean).length;
}
