/**
 * TLS 1.3 on the data link between nodes with certificates. The protocol that the primary asks for by ALPN names the
 * resource and both nodes in their parts, so who completes the handshake is the other node and means this resource.
 * Who is refused after it is told in HAST's words.
 * @see SAFETY E3
 */
import type { TcpNetConnectOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect, createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { SocketReader } from '../../device/receive-slab.ts';
import { faultWords } from '../../model/certificates.ts';
import { causeOfCertificateError, certificateClient, certificateFault } from '../../net/certificate-tls.ts';
import { certificateServer } from '../../net/certificate-tls.ts';
import { encodeFrame, HAST_VERSION } from '../../protocol/hast-message.ts';
import type { LinkCertificates } from '../../protocol/link-keys.ts';
import { LinkRefused } from './link-refused.ts';

/** To who comes with a certificate, and of who comes with a key. */
export const KEY_PEER =
  "the peer has a secret-file and this node certificates: write the same 'secret-file' or 'tls' in hastate.yaml of " +
  'both nodes';
export const CERTIFICATE_PEER =
  "the peer has certificates and this node a secret-file: write the same 'secret-file' or 'tls' in hastate.yaml of " +
  'both nodes';
export const TLS_FAILED =
  'the TLS handshake with the peer failed: give both nodes certificates of one authority, and the same names in ' +
  'hast.conf and hastate.yaml';
const DISMISS_MS = 1000;

export function dialByCertificate(
  options: TcpNetConnectOpts,
  { certificates, offered }: LinkCertificates,
  onread: SocketReader['onread'],
): TLSSocket {
  // Node takes it, its types do not show it here.
  const read = { onread };
  return connect({ ...options, ...certificateClient(certificates, offered), ...read });
}

/** Why the secondary that we reached is not met, and the connection ends with that; null: it is the peer. */
export function refusesSecondary(socket: TLSSocket, { peer, offered }: LinkCertificates): LinkRefused | null {
  const fault = certificateFault(socket, peer, offered);
  if (fault === null) return null;
  const why = `the peer was refused: ${faultWords(fault)}`;
  const errmsg = `the secondary was refused: ${faultWords(fault)}`;
  socket.on('error', () => undefined);
  socket.end(Buffer.concat(encodeFrame(HAST_VERSION, [{ name: 'errmsg', type: 'string', value: errmsg }])));
  setTimeout(() => socket.destroy(), DISMISS_MS).unref();
  return new LinkRefused(why);
}

/**
 * The server's end over a connection of which nothing was read yet, or only what was put back. What it resolves with
 * has to be asked certificateFault().
 * @throws LinkRefused; the error of the connection when that just ended
 */
export function acceptByCertificate(
  stream: Duplex,
  { certificates, accepted }: LinkCertificates,
  timeoutMs: number,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    // It never listens: a socket of a server of Node's alone says whether the client's certificate is right.
    const server = createServer({
      ...certificateServer(certificates, accepted),
      handshakeTimeout: timeoutMs,
    });
    server.once('secureConnection', resolve);
    server.once('tlsClientError', (error, socket) => {
      // A late error of a socket that is given up must not end the thread.
      socket.on('error', () => undefined);
      socket.destroy();
      const late = 'code' in error && error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT';
      const known = causeOfCertificateError(error) !== null && !late;
      reject(known ? new LinkRefused(TLS_FAILED, error) : error);
    });
    server.emit('connection', stream);
  });
}
