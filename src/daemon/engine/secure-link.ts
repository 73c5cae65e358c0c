/**
 * TLS 1.3 on the data link: the primary opens it at once, the secondary takes nothing else. With a secret the key is
 * the pair's and the resource's, so who completes the handshake is the other node and means this resource; the same
 * with certificates is in certificate-link.ts.
 * @see SAFETY E3
 */
import type { TcpNetConnectOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect, createSecureContext, TLSSocket } from 'node:tls';
import type { SocketReader } from '../../device/receive-slab.ts';
import { NetError } from '../../model/errors.ts';
import { causeOfCertificateError } from '../../net/certificate-tls.ts';
import { causeOfTlsError, nobodysKey, pskClient, TLS13, usedKey } from '../../net/psk-tls.ts';
import { byCertificate } from '../../protocol/link-keys.ts';
import type { LinkAccess, LinkTls } from '../../protocol/link-keys.ts';
import { CERTIFICATE_PEER, dialByCertificate, KEY_PEER, TLS_FAILED } from './certificate-link.ts';
import { LinkRefused } from './link-refused.ts';

export const OTHER_SECRET =
  'the peer does not prove that it knows the secret: give both nodes the same secret-file';
export const PLAIN_PEER =
  'the peer does not encrypt the data link and this node has a secret-file or tls: give both nodes the same one, ' +
  'or the group of this resource peer-kind: hastd if it is a plain hastd';
export const TLS_PEER =
  'the peer has a secret-file or tls and this node has none: give both nodes the same one';
const TAKES_NO_TLS =
  "the peer takes no TLS on the data link: write the same 'secret-file' or 'tls' in hastate.yaml of both nodes";
const UNKNOWN_THERE =
  'Resource not configured on the peer, or not between these two nodes: give both the same names in hast.conf and hastate.yaml';
const SILENT_END =
  'the peer ends the data link as soon as TLS is offered: give the group of this resource peer-kind: hastd ' +
  'if it is a plain hastd';

/** Connects and opens TLS; `established` waits for TCP as it does without. */
export function dialTls(
  options: TcpNetConnectOpts,
  access: LinkAccess,
  onread: SocketReader['onread'],
): TLSSocket {
  if (byCertificate(access)) return dialByCertificate(options, access, onread);
  const { offered } = access;
  const psk = Buffer.from(offered.psk);
  // Node takes it, its types do not show it here.
  const read = { onread };
  return connect({ ...options, ...pskClient(psk, offered.identity), ...read });
}

/**
 * Resolves when the key was proven to both ends; where the nodes have certificates, when there is something to judge.
 * @throws LinkRefused; NetError `connect-timeout`, `connect-aborted`, `connect-failed`
 */
export function secured(
  socket: TLSSocket,
  access: LinkAccess,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const { localAddress = '?', remoteAddress: remote = 'the peer' } = socket;
    const timer = setTimeout(() => {
      finish(new NetError('connect-timeout', `${remote} did not finish TLS within ${timeoutMs} ms`));
    }, timeoutMs);
    const onAbort = (): void => {
      finish(new NetError('connect-aborted', `TLS with ${remote} was given up`, { cause: signal?.reason }));
    };
    const onSecure = (): void => {
      finish(byCertificate(access) || usedKey(socket) ? null : new LinkRefused(OTHER_SECRET));
    };
    const onError = (error: Error): void => {
      finish(refusalOf(error, localAddress, access));
    };
    const onClose = (): void => {
      finish(new NetError('tls-ended', SILENT_END));
    };
    const finish = (error: Error | null): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('secure', onSecure).off('error', onError).off('close', onClose).off('end', onClose);
      if (error === null) {
        resolve();
        return;
      }
      // A late error of a socket that is given up must not end the thread.
      socket.on('error', () => undefined);
      socket.destroy();
      reject(error);
    };
    socket.once('secure', onSecure).once('error', onError).once('close', onClose).once('end', onClose);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    else if (socket.destroyed) onClose();
  });
}

/** The server's end over a connection of which nothing was read yet, or only what was put back. */
export function acceptTls(stream: Duplex, { accepted }: LinkTls): TLSSocket {
  const options = {
    isServer: true,
    secureContext: createSecureContext(TLS13),
    pskCallback: (_: TLSSocket, identity: string) => {
      const key = accepted.find((each) => each.identity === identity);
      // The listener has looked at the names: only the secret can be another.
      return key === undefined ? nobodysKey() : Buffer.from(key.psk);
    },
  };
  // Node takes pskCallback, its types do not show it here.
  return new TLSSocket(stream, options);
}

/** What the other end's alert means here. @see ALERT */
function refusalOf(error: Error & { code?: string }, localAddress: string, access: LinkAccess): NetError {
  const code = error.code ?? '';
  const refused = (message: string): LinkRefused => new LinkRefused(message, error);
  if (/UNKNOWN_PSK_IDENTITY|NO_APPLICATION_PROTOCOL/.test(code)) return refused(UNKNOWN_THERE);
  if (code.includes('ACCESS_DENIED'))
    return refused(`Address ${localAddress} is not the remote address of any resource there.`);
  if (code.includes('MISSING_EXTENSION')) return refused(KEY_PEER);
  if (code.includes('CERTIFICATE_REQUIRED')) return refused(CERTIFICATE_PEER);
  if (code.includes('HANDSHAKE_FAILURE')) return refused(TAKES_NO_TLS);
  const failed = byCertificate(access) ? TLS_FAILED : OTHER_SECRET;
  switch (byCertificate(access) ? causeOfCertificateError(error) : causeOfTlsError(error)) {
    case 'has-certificate':
      return refused(CERTIFICATE_PEER);
    case 'has-secret':
      return refused(KEY_PEER);
    case 'wrong-key':
      return refused(OTHER_SECRET);
    case 'not-tls':
    case 'old-tls':
      return refused(`${TAKES_NO_TLS} (${code})`);
    case 'tls-failed':
      return refused(`${failed} (${code})`);
    case null:
      return code === 'ECONNRESET'
        ? new NetError('tls-ended', SILENT_END, { cause: error })
        : new NetError('connect-failed', `TLS failed: ${code === '' ? error.message : code}`, {
            cause: error,
          });
  }
}
