/**
 * Reference addresses: they tell "I am cut off" from "the peer is dead". Hints only (SAFETY B8).
 * `host` is pinged, `host:port` is connected to; a refused connection counts as an answer. Where no
 * ping is installed, a host is connected to as well.
 */
import { connect } from 'node:net';

import { execa } from 'execa';

/** What one question takes at most where nobody is in a hurry. ms */
export const PROBE_MS = 1000;
/** TCP echo: hardly anybody serves it, nearly everybody refuses it. */
const ECHO_PORT = 7;

/** Asks one, for `probeMs` or until `signal`. */
export async function referenceAnswers(
  reference: string,
  signal: AbortSignal,
  probeMs = PROBE_MS,
): Promise<boolean> {
  const match = /^(?<host>\[.+\]|[^:]+):(?<port>\d+)$/.exec(reference);
  const host = match?.groups?.['host']?.replace(/^\[|\]$/g, '');
  const port = match?.groups?.['port'];
  if (host !== undefined && port !== undefined) return connects(host, Number(port), signal, probeMs);
  const result = await execa('ping', ['-c', '1', ...waitOption(), reference], {
    reject: false,
    timeout: probeMs,
    cancelSignal: signal,
    stdio: 'ignore',
  });
  if (result.code === 'ENOENT') return connects(reference, ECHO_PORT, signal, probeMs);
  return result.exitCode === 0;
}

/** ping(8): seconds on Linux, milliseconds on FreeBSD. The process is ended after its time in any case. */
function waitOption(): string[] {
  return ['-W', process.platform === 'freebsd' ? String(PROBE_MS) : '1'];
}

function connects(host: string, port: number, signal: AbortSignal, probeMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (answered: boolean): void => {
      socket.destroy();
      resolve(answered);
    };
    socket.setTimeout(probeMs, () => {
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

/** Asks all references at once. @returns how many answered within `probeMs` */
export async function countReachable(
  references: readonly string[],
  signal: AbortSignal,
  probeMs = PROBE_MS,
): Promise<number> {
  const answered = await Promise.all(
    references.map((reference) => referenceAnswers(reference, signal, probeMs).catch(() => false)),
  );
  return answered.filter(Boolean).length;
}
