/**
 * TLS 1.3 between two nodes that both show a certificate. Whether it is the other node's is judged here and not by
 * a name of the network: it has to be of an authority of ours, and its subjectAltName has to say the node's name.
 * @see SAFETY E3, RFC 8446 4.4.2, RFC 5280 4.2.1.6, RFC 7301
 */
import { constants } from 'node:crypto';
import type { ConnectionOptions, SecureContextOptions, TLSSocket, TlsOptions } from 'node:tls';
import { missingPurposes, namesNode } from '../model/certificates.ts';
import type { CertificateFault, NodeCertificates } from '../model/certificates.ts';
import { causeOfTlsError, TLS13 } from './psk-tls.ts';
import type { TlsFault } from './psk-tls.ts';

/** Of a server's, for the connections that begin from now on. */
export function certificateContext({ certificate, key, authority }: NodeCertificates): SecureContextOptions {
  // A resumed session would be let in by a certificate that nobody has looked at again.
  return { ...TLS13, cert: certificate, key, ca: authority, secureOptions: constants.SSL_OP_NO_TICKET };
}

/** @param protocol what the connection is for (ALPN); a client that means something else is refused */
export function certificateServer(files: NodeCertificates, protocol: string): TlsOptions {
  return {
    ...certificateContext(files),
    requestCert: true,
    // So that both ends can say why. certificateFault() decides.
    rejectUnauthorized: false,
    ALPNProtocols: [protocol],
  };
}

export function certificateClient(files: NodeCertificates, protocol: string): ConnectionOptions {
  return {
    ...certificateContext(files),
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
    ALPNProtocols: [protocol],
  };
}

/**
 * What there is against the other end of a finished handshake; null: it is that node, and means this protocol.
 * @param socket of a tls.Server or tls.connect(): others do not know whether it is authorized
 */
export function certificateFault(socket: TLSSocket, node: string, protocol: string): CertificateFault | null {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return 'absent';
  if (!socket.authorized) return faultOfCode(String(socket.authorizationError));
  if (socket.getProtocol() !== 'TLSv1.3' || socket.isSessionReused()) return 'unfit';
  if (socket.alpnProtocol !== protocol) return 'unfit';
  if (missingPurposes(certificate).length > 0) return 'unfit';
  return namesNode(certificate.subjectAltName, node) ? null : 'name';
}

function faultOfCode(code: string): CertificateFault {
  if (code === 'CERT_HAS_EXPIRED') return 'expired';
  if (code === 'CERT_NOT_YET_VALID') return 'early';
  return /ISSUER|SELF_SIGNED|LEAF_SIGNATURE|CERT_UNTRUSTED|CERT_REJECTED|CERT_SIGNATURE_FAILURE/.test(code)
    ? 'authority'
    : 'unfit';
}

/** What a failed handshake was about, at an end that has a certificate; null when the connection just went away. */
export function causeOfCertificateError(error: unknown): TlsFault | null {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  // A server without a certificate can do nothing with our hello.
  if (code.includes('ALERT_HANDSHAKE_FAILURE')) return 'has-secret';
  const cause = causeOfTlsError(error);
  return cause === 'wrong-key' || cause === 'has-certificate' ? 'tls-failed' : cause;
}
