/**
 * The secrets of a secret file. The first is the one that this node offers; the others are accepted as well, so that
 * a secret can be changed on one node after the other. A file that is not text is one secret as a whole.
 */
import { ConfigError } from './errors.ts';

const MIN_SECRET_BYTES = 16;
const MAX_SECRETS = 8;
const REMEDY = 'make one with `head -c 32 /dev/urandom | base64` and copy it to both nodes';

/**
 * @param content of the secret file, byte for byte
 * @returns at least one
 * @throws ConfigError `secret-too-short`, `secret-too-many`
 */
export function splitSecrets(content: Buffer): readonly [Buffer, ...Buffer[]] {
  const lines = isText(content)
    ? content
        .toString('latin1')
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '')
        .map((line) => Buffer.from(line, 'latin1'))
    : [content];
  const [first, ...others] = lines;
  if (first === undefined)
    throw new ConfigError('secret-too-short', `the secret file has no secret in it: ${REMEDY}`);
  lines.forEach((line, index) => {
    if (line.length >= MIN_SECRET_BYTES) return;
    const where = lines.length === 1 ? 'the secret file' : `secret ${index + 1} of the secret file`;
    throw new ConfigError(
      'secret-too-short',
      `${where} has ${line.length} bytes, at least ${MIN_SECRET_BYTES} are needed: ${REMEDY}`,
    );
  });
  if (lines.length > MAX_SECRETS)
    throw new ConfigError(
      'secret-too-many',
      `the secret file has ${lines.length} secrets, at most ${MAX_SECRETS} are taken: remove the old ones`,
    );
  return [first, ...others];
}

/** ASCII without control characters but tab and line ends. */
function isText(content: Buffer): boolean {
  return content.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 9 || byte === 10 || byte === 13);
}
