/** A primary's disk as this machine's clients find it: NBD on a unix socket, and ggate where ggatec exists. */
import { join } from 'node:path';
import { createGgateServer } from '../../device/ggate-server.ts';
import { createNbdServer } from '../../device/nbd-server.ts';
import { DiskError } from '../../model/errors.ts';
import type { ExportPort } from '../../replication/ports.ts';

/** `<stateDir>/nbd/<resource>.sock` */
export function exportSocket(stateDir: string, resource: string): string {
  return join(stateDir, 'nbd', `${encodeURIComponent(resource)}.sock`);
}

/**
 * The socket has mode 0600; the export is named as the resource.
 * @param say why a client was closed: for the log
 * @param withGgate also serve ggatec, on a free port of the loopback address
 */
export function engineExporter(
  stateDir: string,
  resource: string,
  withGgate = process.platform === 'freebsd',
  say: (why: string) => void = () => undefined,
): ExportPort {
  const socketPath = exportSocket(stateDir, resource);
  let servers: { close(): Promise<void> }[] | null = null;
  return {
    async open(device, epoch) {
      if (servers !== null)
        throw new DiskError('export-open', `${resource} is exported already; close that export first`);
      const options = { exportName: resource, device, epoch };
      const nbd = await createNbdServer({
        ...options,
        socketPath,
        onClientError: ({ code, message }) =>
          say(code === 'nbd-late' ? message : `it does not keep to NBD (${code})`),
      });
      servers = [nbd];
      const found = { socket: socketPath, name: resource, sectorBytes: device.sectorBytes };
      if (!withGgate) return found;
      try {
        const ggate = await createGgateServer({ ...options, onRefusal: say });
        servers.push(ggate);
        return { ...found, ggate: { host: ggate.host, port: ggate.port } };
      } catch (error) {
        servers = null;
        await nbd.close();
        throw error;
      }
    },
    async close() {
      const open = servers ?? [];
      servers = null;
      await Promise.all(open.map((server) => server.close()));
    },
  };
}
