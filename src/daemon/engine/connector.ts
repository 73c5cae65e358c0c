/** Connects a primary to the resource's `remote`. */
import { connect } from 'node:net';
import type { Socket, TcpNetConnectOpts } from 'node:net';
import { SocketReader } from '../../device/receive-slab.ts';
import { NetError } from '../../model/errors.ts';
import { byCertificate } from '../../protocol/link-keys.ts';
import type { LinkAccess } from '../../protocol/link-keys.ts';
import type { ConnectorPort } from '../../replication/ports.ts';
import { refusesSecondary } from './certificate-link.ts';
import { DataConnection } from './data-connection.ts';
import { parseHastAddress, plainIp } from './hast-address.ts';
import { LinkRefused } from './link-refused.ts';
import { dialTls, secured } from './secure-link.ts';

/** A node that just stops or starts ends handshakes for a moment; who goes on with it means it. */
const SILENT_MS = 3000;

/**
 * @param source address to connect from, or null
 * @param access keys or certificates: the link is encrypted; null: it is plain
 * @param now monotonic, ms
 * @throws NetError `address-invalid`; connect() rejects with `connect-timeout`, `connect-aborted`, `connect-failed`,
 *   and with TLS also with `tls-ended` and `peer-refused`
 */
export function dataConnector(
  remote: string,
  source: string | null,
  access: LinkAccess | null = null,
  now: () => number = () => performance.now(),
): ConnectorPort {
  const target = parseHastAddress(remote);
  const from = source === null ? null : parseHastAddress(source, 0);
  const options: TcpNetConnectOpts = {
    host: target.host,
    port: target.port,
    family: target.family,
    ...(from === null
      ? {}
      : { localAddress: from.host, ...(from.port === 0 ? {} : { localPort: from.port }) }),
  };
  let silentSince: number | null = null;
  return {
    async connect(timeoutMs, signal) {
      const reader = new SocketReader();
      const { onread } = reader;
      const tls = access === null ? null : { access, socket: dialTls(options, access, onread) };
      const socket = tls?.socket ?? connect({ ...options, onread });
      try {
        await established(socket, remote, timeoutMs, signal);
        if (tls !== null) {
          await secured(tls.socket, tls.access, timeoutMs, signal);
          const refusal = byCertificate(tls.access) ? refusesSecondary(tls.socket, tls.access) : null;
          if (refusal !== null) throw refusal;
        }
        silentSince = null;
      } catch (error) {
        // One that is told why ends behind that.
        if (!socket.writableEnded) socket.destroy();
        const silent = error instanceof NetError && error.code === 'tls-ended';
        silentSince = silent ? (silentSince ?? now()) : null;
        if (silent && now() - (silentSince ?? now()) >= SILENT_MS)
          throw new LinkRefused(error.message, error);
        throw error;
      }
      return new DataConnection(socket, plainIp(socket.remoteAddress ?? target.host), { reader });
    },
  };
}

function established(socket: Socket, remote: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => finish(new NetError('connect-timeout', `${remote} did not answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const onAbort = (): void =>
      finish(
        new NetError('connect-aborted', `connecting to ${remote} was given up`, { cause: signal.reason }),
      );
    const onError = (cause: NodeJS.ErrnoException): void =>
      finish(
        new NetError(
          'connect-failed',
          `${remote} cannot be reached (${cause.code ?? cause.message}): is the service running there?`,
          { cause },
        ),
      );
    const finish = (error: NetError | null): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError);
      // A late error of a socket that is given up must not end the process.
      if (error !== null) socket.on('error', () => undefined);
      if (error === null) resolve();
      else reject(error);
    };
    socket.once('connect', () => finish(null));
    socket.once('error', onError);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
