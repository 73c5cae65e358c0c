/** Who is at the other end of the peer channel, by certificates: of our authority, with the peer's name in it. */
import { createSecureContext } from 'node:tls';
import type { ConnectionOptions, SecureContextOptions, TLSSocket, TlsOptions } from 'node:tls';
import { namesNode } from '../model/certificates.ts';
import type { NodeCertificates } from '../model/certificates.ts';
import { ConfigError } from '../model/errors.ts';
import type { NodeName } from '../model/roles.ts';
import {
  causeOfCertificateError,
  certificateClient,
  certificateContext,
  certificateFault,
  certificateServer,
} from './certificate-tls.ts';
import type { Fault, PeerCredentials, PeerTrust } from './peer-channel-trust.ts';
import type { RefusalCause } from './peer-channel-types.ts';

/** By ALPN, so that no connection of the data link can be passed off as one of this channel. */
const PROTOCOL = 'hastate/1 peer channel';

export class CertificateTrust implements PeerTrust {
  readonly #self: NodeName;
  readonly #peer: NodeName;
  #files: NodeCertificates;

  /** @throws ConfigError `certificates-unusable` */
  constructor(files: NodeCertificates, self: NodeName, peer: NodeName) {
    this.#self = self;
    this.#peer = peer;
    this.#files = usable(files);
  }

  server(refuse: (cause: RefusalCause, socket: TLSSocket) => void): TlsOptions {
    return {
      ...certificateServer(this.#files, PROTOCOL),
      // Asked only for a client that has a key: without one it ends the handshake by itself, and says nothing.
      pskCallback(socket) {
        refuse('has-secret', socket);
        return null;
      },
    };
  }

  context(): SecureContextOptions {
    return certificateContext(this.#files);
  }

  client(): ConnectionOptions {
    return certificateClient(this.#files, PROTOCOL);
  }

  faultOf(socket: TLSSocket): Fault | null {
    const fault = certificateFault(socket, this.#peer, PROTOCOL);
    if (fault === null) return null;
    const certificate = socket.getPeerX509Certificate();
    if (fault === 'name' && namesNode(certificate?.subjectAltName, this.#self))
      return { cause: 'own-address', tell: null };
    return { cause: `certificate-${fault}`, tell: fault };
  }

  causeOf(error: unknown): RefusalCause | null {
    return causeOfCertificateError(error);
  }

  rekey(credentials: PeerCredentials): void {
    if (!Buffer.isBuffer(credentials)) this.#files = usable(credentials);
  }
}

/** So that what cannot be used is found now and not by the next connection. */
function usable(files: NodeCertificates): NodeCertificates {
  try {
    createSecureContext(certificateContext(files));
    return files;
  } catch (cause) {
    throw new ConfigError(
      'certificates-unusable',
      "TLS cannot use the files of 'tls' in hastate.yaml: `hastate check` says more",
      { cause },
    );
  }
}
