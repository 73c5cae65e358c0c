/** Connects a primary to the resource's `remote`. */
import { connect } from 'node:net';
import type { Socket, TcpNetConnectOpts } from 'node:net';
import { SocketReader } from '../../device/receive-slab.ts';
import { NetError } from '../../model/errors.ts';
import type { ConnectorPort } from '../../replication/ports.ts';
import { DataConnection } from './data-connection.ts';
import { parseHastAddress, plainIp } from './hast-address.ts';

/**
 * @param source address to connect from, or null
 * @throws NetError `address-invalid`; connect() rejects with `connect-timeout`, `connect-aborted`, `connect-failed`
 */
export function dataConnector(remote: string, source: string | null): ConnectorPort {
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
  return {
    async connect(timeoutMs, signal) {
      const reader = new SocketReader();
      const socket = connect({ ...options, onread: reader.onread });
      try {
        await established(socket, remote, timeoutMs, signal);
      } catch (error) {
        socket.destroy();
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
